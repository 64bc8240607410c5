// Flattening of pytrees into numbers and tree definitions, and the reverse.
#include "traced/pytree.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "common/allocation.hpp"
#include "common/arrays.hpp"
#include "module.hpp"

namespace tapegrad::python {

using Kind = TreeDef::Kind;

// See the declaration. The outer position must outlive this one.
struct TreeDef::Where {
  enum Part : std::uint8_t { tree, argument, keyword, index, key, field };
  const std::string* name = nullptr;  // of the tree, or of the called function
  const Where* outer = nullptr;
  Part part = tree;
  std::size_t k = 0;
  py::handle object = {};  // a key or the name of a field

  std::string text() const {
    const auto quoted = [&] { return std::string(py::repr(object)); };
    switch (part) {
      case tree:
        return *name;
      case argument:
        return "compile(): argument " + std::to_string(k) + " of " + *name;
      case keyword:
        return "compile(): argument " + quoted() + " of " + *name;
      case index:
        return outer->text() + "[" + std::to_string(k) + "]";
      case key:
        return outer->text() + "[" + quoted() + "]";
      case field:
        return outer->text() + "." + std::string(py::str(object));
    }
    return {};
  }
};

namespace {

bool is_named_tuple(py::handle object) {
  return PyTuple_Check(object.ptr()) && !PyTuple_CheckExact(object.ptr()) &&
         find_attribute(object, "_fields") && find_attribute(object, "_make");
}

bool is_dict(py::handle object) {
  if (PyDict_CheckExact(object.ptr())) return true;
  return PyDict_Check(object.ptr()) &&
         Py_TYPE(object.ptr()) == reinterpret_cast<PyTypeObject*>(&PyODict_Type);
}

bool is_dataclass(py::handle object) {
  return !PyType_Check(object.ptr()) &&
         find_attribute(py::type::handle_of(object), "__dataclass_fields__");
}

[[noreturn]] void refuse_digits(const std::string& where) {
  PyErr_Format(PyExc_OverflowError,
               "%s is an integer that no float holds exactly, as it is above 2**53: pass float(x) "
               "if a rounded number will do",
               where.c_str());
  throw py::error_already_set();
}

// The object as a float or a traced number; null if it is not a number. Raises OverflowError for an
// integer that no float represents exactly. With `constants`, integers above 2**53 are constants,
// for which the result is null.
template <class Where>
py::object number_of(py::handle object, bool constants, const Where& where) {
  if (PyFloat_CheckExact(object.ptr())) return py::reinterpret_borrow<py::object>(object);
  if (is_traced(object.ptr())) {
    if (!is_alive(as_traced(object.ptr()))) throw py::error_already_set();
    return py::reinterpret_borrow<py::object>(object);
  }
  if (PyBool_Check(object.ptr())) return {};
  if (!is_value(object.ptr()))
    if (const Digits digits = digits_of(object); digits != Digits::small) {
      if (constants) return {};
      if (digits == Digits::lost) refuse_digits(where.text());
    }
  double number = 0.0;
  switch (read_number(object.ptr(), number)) {
    case Reading::ok:
      return owned(PyFloat_FromDouble(number));
    case Reading::unknown:
      return {};
    case Reading::error:
      throw py::error_already_set();
  }
  return {};
}

std::vector<py::ssize_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

bool is_integral(const py::array& array) {
  return std::string_view("iub").find(array.dtype().kind()) != std::string_view::npos;
}

// A copy in C order, of exactly the type ndarray.
py::object copy_of(const py::array& array) {
  const auto flat = py::array::ensure(array, py::array::c_style);
  if (!flat) throw py::error_already_set();
  return py::array(array.dtype(), shape_of(array), flat.data());
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

[[noreturn]] void refuse(const std::string& name, py::handle object) {
  throw py::type_error(name +
                       " must be a number, a NumPy array, or a list, tuple, dict or dataclass "
                       "of these, not '" +
                       Py_TYPE(object.ptr())->tp_name + "'");
}

}  // namespace

bool is_numpy_integer(py::handle object) {
  static PyTypeObject* type = nullptr;
  if (type == nullptr) type = numpy_type("integer");
  return type != nullptr && PyObject_TypeCheck(object.ptr(), type);
}

bool is_named_constant(py::handle object) {
  static PyTypeObject* flag = nullptr;
  if (flag == nullptr) flag = numpy_type("bool_");
  PyTypeObject* const type = Py_TYPE(object.ptr());
  if (type == flag) return flag != nullptr;
  return Py_TYPE(type) != &PyType_Type &&
         PyObject_HasAttrString(reinterpret_cast<PyObject*>(type), "_member_map_");
}

std::vector<py::object> elements_of(const py::array& array) {
  std::vector<py::object> elements;
  elements.reserve(static_cast<std::size_t>(array.size()));
  const auto visit = [&](const auto& self, const char* at, py::ssize_t axis) -> void {
    if (axis == array.ndim()) {
      PyObject* const item = *reinterpret_cast<PyObject* const*>(at);
      elements.push_back(py::reinterpret_borrow<py::object>(item != nullptr ? item : Py_None));
      return;
    }
    for (py::ssize_t k = 0; k < array.shape(axis); ++k)
      self(self, at + k * array.strides(axis), axis + 1);
  };
  if (array.size() != 0) visit(visit, static_cast<const char*>(array.data()), 0);
  return elements;
}

Digits digits_of(py::handle object) {
  constexpr long long most = 1LL << 53;
  py::object integer = py::reinterpret_borrow<py::object>(object);
  if (!PyLong_Check(object.ptr())) {
    if (PyFloat_Check(object.ptr()) || !PyIndex_Check(object.ptr())) return Digits::small;
    integer = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
    if (!integer) {
      PyErr_Clear();
      return Digits::small;
    }
  }
  int beyond = 0;
  const long long small = PyLong_AsLongLongAndOverflow(integer.ptr(), &beyond);
  if (beyond == 0 && -most <= small && small <= most) return Digits::small;
  const double number = PyLong_AsDouble(integer.ptr());
  const bool too_large = number == -1.0 && PyErr_Occurred() != nullptr;
  const auto back =
      py::reinterpret_steal<py::object>(too_large ? nullptr : PyLong_FromDouble(number));
  const bool exact = back && PyObject_RichCompareBool(back.ptr(), integer.ptr(), Py_EQ) == 1;
  PyErr_Clear();
  return exact ? Digits::exact : Digits::lost;
}

bool loses_digits(const py::array& array) {
  if (array.itemsize() < 8 || (array.dtype().kind() != 'i' && array.dtype().kind() != 'u'))
    return false;
  const auto any = [](const auto& integers) {
    return integers && std::any_of(integers.data(), integers.data() + integers.size(), [](auto x) {
             std::uint64_t size = static_cast<std::uint64_t>(x);
             if constexpr (std::is_signed_v<decltype(x)>)
               if (x < 0) size = 0 - size;
             for (; size > std::uint64_t{1} << 53; size >>= 1)
               if (size & 1) return true;
             return false;
           });
  };
  constexpr int flags = py::array::c_style | py::array::forcecast;
  const bool lost = array.dtype().kind() == 'i'
                        ? any(py::array_t<std::int64_t, flags>::ensure(array))
                        : any(py::array_t<std::uint64_t, flags>::ensure(array));
  PyErr_Clear();
  return lost;
}

void TreeDef::add(py::handle tree, const std::string& name, Holding holding,
                  std::vector<py::object>& numbers) {
  add(tree, Where{&name}, holding, false, numbers);
}

void TreeDef::add_call(py::handle args, py::handle keywords, const Exceptions& exceptions,
                       const std::string& name, std::vector<py::object>& numbers) {
  const auto count = PyTuple_GET_SIZE(args.ptr());
  const auto names = owned(PySequence_Tuple(keywords.ptr()));
  nodes_.push_back({Kind::tuple, 2});
  nodes_.push_back({Kind::tuple, static_cast<std::size_t>(count)});
  for (Py_ssize_t k = 0; k < count; ++k) {
    const py::handle argument = PyTuple_GET_ITEM(args.ptr(), k);
    const Where where{&name, nullptr, Where::argument, static_cast<std::size_t>(k)};
    const std::size_t node = nodes_.size();
    if (exceptions.is_static(k, count)) add_static(argument, where);
    else add(argument, where, Holding::arguments, exceptions.is_floating(k, count), numbers);
    if (is_constant(nodes_[node].kind)) leading_.emplace_back(node, k);
  }
  nodes_.push_back({Kind::dict, static_cast<std::size_t>(PyTuple_GET_SIZE(names.ptr())), names,
                    py::type::of(keywords)});
  for (const py::handle key : py::reinterpret_borrow<py::tuple>(names)) {
    const auto argument =
        py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(keywords.ptr(), key.ptr()));
    if (!argument) throw py::error_already_set();
    const Where where{&name, nullptr, Where::keyword, 0, key};
    if (exceptions.is_static(key)) add_static(argument, where);
    else add(argument, where, Holding::arguments, exceptions.all_floating, numbers);
  }
}

void TreeDef::add_static(py::handle value, const Where& where) {
  const Py_hash_t hash = PyObject_Hash(value.ptr());
  if (hash == -1) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    throw py::type_error(where.text() + " is static and must be hashable, not '" +
                         Py_TYPE(value.ptr())->tp_name + "'");
  }
  nodes_.push_back({Kind::static_value, static_cast<std::size_t>(hash),
                    py::reinterpret_borrow<py::object>(value)});
}

void TreeDef::add_array(py::handle tree, const Where& where, Holding holding, bool floating,
                        std::vector<py::object>& numbers) {
  const auto array = py::reinterpret_borrow<py::array>(tree);
  const char kind = array.dtype().kind();
  const auto count = static_cast<std::size_t>(array.size());
  if (holding == Holding::arguments && !floating && is_integral(array)) {
    nodes_.push_back({Kind::integers, count, copy_of(array), {}, shape_of(array)});
    return;
  }
  nodes_.push_back({Kind::array, count, {}, {}, shape_of(array), floating});
  size_ += count;
  if (kind == 'O') {
    std::size_t k = 0;
    for (const py::object& item : elements_of(array)) {
      const Where here{nullptr, &where, Where::index, k};
      py::object number = number_of(item, false, here);
      if (!number)
        throw py::type_error(where.text() + " is an array of objects, and element " +
                             std::to_string(k) + " is no number, but '" +
                             Py_TYPE(item.ptr())->tp_name + "'");
      numbers.push_back(std::move(number));
      ++k;
    }
  } else if (std::string_view("fiub").find(kind) != std::string_view::npos) {
    if (loses_digits(array)) refuse_digits("an element of " + where.text());
    const Doubles doubles = Doubles::ensure(array);
    if (!doubles) throw py::error_already_set();
    for (std::size_t k = 0; k < count; ++k)
      numbers.push_back(owned(PyFloat_FromDouble(doubles.data()[k])));
  } else {
    throw py::type_error(where.text() + " is an array of dtype " +
                         std::string(py::str(array.dtype().attr("name"))) +
                         ", not of real numbers");
  }
}

void TreeDef::add(py::handle tree, const Where& where, Holding holding, bool floating,
                  std::vector<py::object>& numbers) {
  if (Py_EnterRecursiveCall(" in a tree of numbers")) throw py::error_already_set();
  // The end of the recursive call.
  struct Leave {
    ~Leave() { Py_LeaveRecursiveCall(); }
  } leave;
  const bool constants = holding != Holding::numbers;
  if (!PyFloat_CheckExact(tree.ptr()) && is_array_subclass(tree.ptr()) &&
      refuse_array_subclass(tree.ptr(), where.text()))
    throw py::error_already_set();
  const bool named = holding == Holding::arguments && !floating && is_named_constant(tree);
  if (!named)
    if (py::object number = number_of(tree, constants && !floating, where)) {
      nodes_.push_back({Kind::number, 0, {}, {}, {}, floating});
      ++size_;
      numbers.push_back(std::move(number));
      return;
    }
  // Adds a container. Its items are kept in a vector, since reading one may run code that changes
  // the container.
  const auto add_items = [&](Kind kind, const py::object& object, const py::object& more,
                             const std::vector<py::object>& items, Where::Part part,
                             py::handle names) {
    nodes_.push_back({kind, items.size(), object, more});
    for (std::size_t k = 0; k < items.size(); ++k) {
      const py::handle name =
          names ? PyTuple_GET_ITEM(names.ptr(), static_cast<Py_ssize_t>(k)) : nullptr;
      add(items[k], Where{nullptr, &where, part, k, name}, holding, floating, numbers);
    }
  };
  const auto items_of = [&] {
    std::vector<py::object> items;
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(tree.ptr()); ++k)
      items.push_back(py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(tree.ptr(), k)));
    return items;
  };
  if (PyList_CheckExact(tree.ptr())) {
    add_items(Kind::list, {}, {}, items_of(), Where::index, {});
  } else if (PyTuple_CheckExact(tree.ptr())) {
    add_items(Kind::tuple, {}, {}, items_of(), Where::index, {});
  } else if (is_named_tuple(tree)) {
    add_items(Kind::named_tuple, py::type::of(tree), {}, items_of(), Where::index, {});
  } else if (is_dict(tree)) {
    std::vector<py::object> items;
    const py::object keys = owned(PySequence_Tuple(tree.ptr()));
    for (const py::handle key : py::reinterpret_borrow<py::tuple>(keys))
      items.push_back(owned(PyObject_GetItem(tree.ptr(), key.ptr())));
    add_items(Kind::dict, keys, py::type::of(tree), items, Where::key, keys);
  } else if (is_dataclass(tree)) {
    const py::type type = py::type::of(tree);
    py::list names;
    std::vector<py::object> items;
    for (const py::handle field : py::module_::import("dataclasses").attr("fields")(type)) {
      names.append(field.attr("name"));
      items.push_back(tree.attr(py::str(field.attr("name"))));
    }
    const py::object fields = owned(PyList_AsTuple(names.ptr()));
    add_items(Kind::dataclass, type, fields, items, Where::field, fields);
  } else if (is_array(tree.ptr())) {
    add_array(tree, where, holding, floating, numbers);
  } else if (constants) {
    nodes_.push_back({Kind::constant, 0, py::reinterpret_borrow<py::object>(tree)});
  } else {
    refuse(where.text(), tree);
  }
}

template <class Take>
py::object TreeDef::build(std::size_t& at, Take& take) const {
  const Node& node = nodes_[at++];
  switch (node.kind) {
    case Kind::number:
    case Kind::array:
      return take(node);
    case Kind::constant:
      return node.weak ? referent_of(node.object) : node.object;
    case Kind::static_value:
      return node.object;
    case Kind::integers:  // a function may write into its arguments
      return copy_of(py::reinterpret_borrow<py::array>(node.object));
    case Kind::list: {
      py::object list = owned(PyList_New(static_cast<Py_ssize_t>(node.count)));
      for (std::size_t k = 0; k < node.count; ++k)
        PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), build(at, take).release().ptr());
      return list;
    }
    case Kind::tuple:
    case Kind::named_tuple: {
      py::object tuple = owned(PyTuple_New(static_cast<Py_ssize_t>(node.count)));
      for (std::size_t k = 0; k < node.count; ++k)
        PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(k), build(at, take).release().ptr());
      if (node.kind == Kind::tuple) return tuple;
      return node.object.attr("_make")(tuple);
    }
    case Kind::dict: {
      py::object dict = node.more();
      for (const py::handle key : node.object)
        if (PyObject_SetItem(dict.ptr(), key.ptr(), build(at, take).ptr()) != 0)
          throw py::error_already_set();
      return dict;
    }
    case Kind::dataclass: {
      // As in the copy module, neither __init__ nor __post_init__ runs.
      py::object made = node.object.attr("__new__")(node.object);
      const py::object set =
          py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(&PyBaseObject_Type))
              .attr("__setattr__");
      for (const py::handle field : node.more) set(made, field, build(at, take));
      return made;
    }
  }
  return py::none();
}

namespace {

py::object array_of(const std::vector<py::ssize_t>& shape, const double* numbers) {
  return py::array_t<double>(shape, numbers);
}

py::object array_of(const std::vector<py::ssize_t>& shape, const py::object* numbers,
                    std::size_t count) {
  const bool plain = std::all_of(numbers, numbers + count,
                                 [](const py::object& x) { return PyFloat_CheckExact(x.ptr()); });
  if (plain) {
    py::array_t<double> array(shape);
    for (std::size_t k = 0; k < count; ++k)
      array.mutable_data()[k] = PyFloat_AS_DOUBLE(numbers[k].ptr());
    return array;
  }
  py::array array(py::dtype("O"), shape);
  auto* const items = static_cast<PyObject**>(array.mutable_data());
  for (std::size_t k = 0; k < count; ++k) {
    PyObject* const before = items[k];
    items[k] = numbers[k].inc_ref().ptr();
    Py_XDECREF(before);
  }
  return array;
}

}  // namespace

py::object TreeDef::unflatten(const std::vector<py::object>& numbers) const {
  if (numbers.size() != size())
    throw py::value_error("the structure has " + std::to_string(size()) + " numbers, not " +
                          std::to_string(numbers.size()));
  const py::object* next = numbers.data();
  const auto take = [&](const Node& node) -> py::object {
    if (node.kind == Kind::number) return *next++;
    const py::object* const first = next;
    next += node.count;
    return array_of(node.shape, first, node.count);
  };
  std::size_t at = 0;
  return build(at, take);
}

py::object TreeDef::unflatten(const double* numbers) const {
  const auto take = [&](const Node& node) -> py::object {
    if (node.kind == Kind::number) return owned(PyFloat_FromDouble(*numbers++));
    const double* const first = numbers;
    numbers += node.count;
    return array_of(node.shape, first);
  };
  std::size_t at = 0;
  return build(at, take);
}

py::object TreeDef::rebuild(const std::vector<py::object>& blocks) const {
  std::size_t next = 0;
  const auto take = [&](const Node&) -> py::object {
    if (next == blocks.size())
      throw py::value_error("the structure has more numbers and arrays than the " +
                            std::to_string(blocks.size()) + " blocks given");
    return blocks[next++];
  };
  std::size_t at = 0;
  return build(at, take);
}

void register_trees(py::module_& module) {
  py::class_<TreeDef, std::shared_ptr<TreeDef>>(module, "TreeDef", checked_allocation(),
                                                "The structure of a pytree of numbers.")
      .def("__len__", &TreeDef::size)
      .def("__eq__",
           [](const TreeDef& self, py::handle other) {
             return py::isinstance<TreeDef>(other) && self == other.cast<const TreeDef&>();
           })
      .def("nests_as", &TreeDef::nests_as, py::arg("other"),
           "True if numbers are nested in the same way; constants may differ.")
      .def("unflatten",
           py::overload_cast<const std::vector<py::object>&>(&TreeDef::unflatten, py::const_),
           py::arg("numbers"), "Return the pytree with these numbers in it.")
      .def("rebuild", &TreeDef::rebuild, py::arg("blocks"),
           "Return the pytree with these objects in place of its numbers and arrays.")
      .def_property_readonly(
          "shapes",
          [](const TreeDef& self) {
            py::list shapes;
            for (const TreeDef::Node& node : self.nodes()) {
              if (node.kind == Kind::number) shapes.append(py::none());
              if (node.kind == Kind::array) shapes.append(py::tuple(py::cast(node.shape)));
            }
            return shapes;
          },
          "The shapes of the arrays and numbers, in order; None for a number.");
  module.def(
      "flatten",
      [](py::handle tree, const std::string& name, bool constants) {
        using Holding = TreeDef::Holding;
        auto structure = std::make_shared<TreeDef>();
        std::vector<py::object> numbers;
        structure->add(tree, name, constants ? Holding::constants : Holding::numbers, numbers);
        return py::make_tuple(numbers, structure);
      },
      py::arg("tree"), py::arg("name"), py::arg("constants") = false,
      "Return the numbers in a pytree, and its structure. `name` is its name in messages.");
}

}  // namespace tapegrad::python
