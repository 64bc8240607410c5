// Reading and rebuilding nested containers of numbers.
#include "trees.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "arrays.hpp"
#include "module.hpp"

namespace tapegrad::python {

namespace {

using Kind = Structure::Kind;

bool is_named_tuple(py::handle object) {
  return PyTuple_Check(object.ptr()) && !PyTuple_CheckExact(object.ptr()) &&
         py::hasattr(object, "_fields") && py::hasattr(object, "_make");
}

bool is_dict(py::handle object) {
  if (PyDict_CheckExact(object.ptr())) return true;
  return PyDict_Check(object.ptr()) &&
         Py_TYPE(object.ptr()) == reinterpret_cast<PyTypeObject*>(&PyODict_Type);
}

bool is_dataclass(py::handle object) {
  return !PyType_Check(object.ptr()) &&
         py::hasattr(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())), "__dataclass_fields__");
}

// A float or a traced number as it is, another real number as a float; null for what is none.
py::object number_of(py::handle object) {
  if (PyFloat_CheckExact(object.ptr())) return py::reinterpret_borrow<py::object>(object);
  if (is_traced(object.ptr())) {
    if (!is_alive(as_traced(object.ptr()))) throw py::error_already_set();
    return py::reinterpret_borrow<py::object>(object);
  }
  if (PyBool_Check(object.ptr())) return {};
  double number = 0.0;
  switch (read_number(object.ptr(), number)) {
    case Reading::ok:
      return py::float_(number);
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

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

[[noreturn]] void refuse(const std::string& name, py::handle object) {
  throw py::type_error(name +
                       " must be a number, a NumPy array, or a list, tuple, dict or dataclass "
                       "of these, not '" +
                       Py_TYPE(object.ptr())->tp_name + "'");
}

}  // namespace

void Structure::add(py::handle tree, const std::string& name, bool constants,
                    std::vector<py::object>& numbers) {
  if (Py_EnterRecursiveCall(" in a tree of numbers")) throw py::error_already_set();
  struct Leave {
    ~Leave() { Py_LeaveRecursiveCall(); }
  } leave;
  if (!PyFloat_CheckExact(tree.ptr()) && refuse_array_subclass(tree.ptr(), name))
    throw py::error_already_set();
  if (py::object number = number_of(tree)) {
    nodes_.push_back({Kind::number, 0, {}, {}, {}});
    ++size_;
    numbers.push_back(std::move(number));
    return;
  }
  const auto add_items = [&](Kind kind, const py::object& object, const py::object& more,
                             const std::vector<py::object>& items, auto name_of) {
    nodes_.push_back({kind, items.size(), object, more, {}});
    for (std::size_t k = 0; k < items.size(); ++k)
      add(items[k], name + name_of(k), constants, numbers);
  };
  const auto by_index = [](std::size_t k) { return "[" + std::to_string(k) + "]"; };
  const auto items_of = [&] {
    std::vector<py::object> items;
    for (const py::handle item : tree) items.push_back(py::reinterpret_borrow<py::object>(item));
    return items;
  };
  if (PyList_CheckExact(tree.ptr())) {
    add_items(Kind::list, {}, {}, items_of(), by_index);
  } else if (PyTuple_CheckExact(tree.ptr())) {
    add_items(Kind::tuple, {}, {}, items_of(), by_index);
  } else if (is_named_tuple(tree)) {
    add_items(Kind::named_tuple, py::type::of(tree), {}, items_of(), by_index);
  } else if (is_dict(tree)) {
    std::vector<py::object> items;
    const py::tuple keys(py::reinterpret_borrow<py::object>(tree));
    for (const py::handle key : keys)
      items.push_back(py::reinterpret_borrow<py::object>(tree[key]));
    add_items(Kind::dict, keys, py::type::of(tree), items,
              [&](std::size_t k) { return "[" + std::string(py::repr(keys[k])) + "]"; });
  } else if (is_dataclass(tree)) {
    const py::type type = py::type::of(tree);
    const py::tuple fields =
        py::tuple(py::module_::import("dataclasses").attr("fields")(type).attr("__iter__")());
    py::list field_names;
    std::vector<py::object> items;
    for (const py::handle field : fields) {
      field_names.append(field.attr("name"));
      items.push_back(tree.attr(py::str(field.attr("name"))));
    }
    add_items(Kind::dataclass, type, py::tuple(field_names), items,
              [&](std::size_t k) { return "." + std::string(py::str(field_names[k])); });
  } else if (is_array(tree.ptr())) {
    const auto array = py::reinterpret_borrow<py::array>(tree);
    const char kind = array.dtype().kind();
    nodes_.push_back(
        {Kind::array, static_cast<std::size_t>(array.size()), {}, {}, shape_of(array)});
    size_ += nodes_.back().count;
    if (kind == 'O') {
      std::size_t k = 0;
      for (const py::handle item : py::list(array.attr("ravel")().attr("tolist")())) {
        py::object number = number_of(item);
        if (!number) {
          throw py::type_error(name + " is an array of objects, and element " + std::to_string(k) +
                               " is no number, but '" + Py_TYPE(item.ptr())->tp_name + "'");
        }
        numbers.push_back(std::move(number));
        ++k;
      }
    } else if (std::string_view("fiub").find(kind) != std::string_view::npos) {
      const Doubles doubles = Doubles::ensure(array);
      if (!doubles) throw py::error_already_set();
      for (py::ssize_t k = 0; k < doubles.size(); ++k)
        numbers.push_back(py::float_(doubles.data()[k]));
    } else {
      throw py::type_error(name + " is an array of dtype " +
                           std::string(py::str(array.dtype().attr("name"))) +
                           ", not of real numbers");
    }
  } else if (constants) {
    nodes_.push_back({Kind::constant, 0, py::reinterpret_borrow<py::object>(tree), {}, {}});
  } else {
    refuse(name, tree);
  }
}

template <class Take>
py::object Structure::build(std::size_t& at, Take& take) const {
  const Node& node = nodes_[at++];
  switch (node.kind) {
    case Kind::number:
    case Kind::array:
      return take(node);
    case Kind::constant:
      return node.object;
    case Kind::list: {
      py::list list(node.count);
      for (std::size_t k = 0; k < node.count; ++k)
        PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), build(at, take).release().ptr());
      return list;
    }
    case Kind::tuple:
    case Kind::named_tuple: {
      py::tuple tuple(node.count);
      for (std::size_t k = 0; k < node.count; ++k)
        PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(k), build(at, take).release().ptr());
      if (node.kind == Kind::tuple) return tuple;
      return node.object.attr("_make")(tuple);
    }
    case Kind::dict: {
      py::object dict = node.more();
      for (const py::handle key : node.object) dict[key] = build(at, take);
      return dict;
    }
    case Kind::dataclass: {
      // As copy does: what __init__ and __post_init__ would make of the numbers is not asked.
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

py::object Structure::unflatten(const std::vector<py::object>& numbers) const {
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

py::object Structure::unflatten(const double* numbers) const {
  const auto take = [&](const Node& node) -> py::object {
    if (node.kind == Kind::number)
      return py::reinterpret_steal<py::object>(PyFloat_FromDouble(*numbers++));
    const double* const first = numbers;
    numbers += node.count;
    return array_of(node.shape, first);
  };
  std::size_t at = 0;
  return build(at, take);
}

py::object Structure::rebuild(const std::vector<py::object>& blocks) const {
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

namespace {

// Whether it is a number that is not traced, and which.
bool read_plain(py::handle object, double& number) {
  if (PyFloat_CheckExact(object.ptr())) {
    number = PyFloat_AS_DOUBLE(object.ptr());
    return true;
  }
  if (is_traced(object.ptr()) || PyBool_Check(object.ptr())) return false;
  if (read_number(object.ptr(), number) == Reading::ok) return true;
  PyErr_Clear();
  return false;
}

// Whether a constant is the one that was recorded. Equality is asked of types that can be trusted
// with it.
bool same_constant(py::handle x, py::handle y) {
  if (x.ptr() == y.ptr()) return true;
  return Py_TYPE(x.ptr()) == Py_TYPE(y.ptr()) &&
         (PyUnicode_CheckExact(x.ptr()) || PyBytes_CheckExact(x.ptr()) ||
          PyComplex_CheckExact(x.ptr()) || PyRange_Check(x.ptr())) &&
         x.equal(y);
}

}  // namespace

bool Structure::read(py::handle tree, double*& numbers) const {
  std::size_t at = 0;
  return read(at, tree, numbers);
}

bool Structure::read_call(py::handle args, py::handle keywords, double*& numbers) const {
  std::size_t at = 1;
  if (!read(at, args, numbers)) return false;
  return keywords ? read(at, keywords, numbers) : nodes_[at].count == 0;
}

bool Structure::read(std::size_t& at, py::handle tree, double*& numbers) const {
  const Node& node = nodes_[at++];
  PyObject* const object = tree.ptr();
  switch (node.kind) {
    case Kind::number:
      return read_plain(tree, *numbers++);
    case Kind::array: {
      if (!is_array(object)) return false;
      const auto array = py::reinterpret_borrow<py::array>(tree);
      if (static_cast<std::size_t>(array.ndim()) != node.shape.size() ||
          !std::equal(node.shape.begin(), node.shape.end(), array.shape()))
        return false;
      if (array.dtype().kind() == 'O') {
        for (const py::handle item : py::list(array.attr("ravel")().attr("tolist")()))
          if (!read_plain(item, *numbers++)) return false;
        return true;
      }
      if (std::string_view("fiub").find(array.dtype().kind()) == std::string_view::npos)
        return false;
      const Doubles doubles = Doubles::ensure(array);
      if (!doubles) {
        PyErr_Clear();
        return false;
      }
      numbers = std::copy_n(doubles.data(), node.count, numbers);
      return true;
    }
    case Kind::list:
      if (!PyList_CheckExact(object) ||
          PyList_GET_SIZE(object) != static_cast<Py_ssize_t>(node.count))
        return false;
      for (std::size_t k = 0; k < node.count; ++k)
        // Reading an item may run code that changes the list.
        if (PyList_GET_SIZE(object) <= static_cast<Py_ssize_t>(k) ||
            !read(at,
                  py::reinterpret_borrow<py::object>(
                      PyList_GET_ITEM(object, static_cast<Py_ssize_t>(k))),
                  numbers))
          return false;
      return true;
    case Kind::tuple:
    case Kind::named_tuple:
      if (node.kind == Kind::tuple
              ? !PyTuple_CheckExact(object)
              : reinterpret_cast<PyObject*>(Py_TYPE(object)) != node.object.ptr())
        return false;
      if (PyTuple_GET_SIZE(object) != static_cast<Py_ssize_t>(node.count)) return false;
      for (std::size_t k = 0; k < node.count; ++k)
        if (!read(at, PyTuple_GET_ITEM(object, static_cast<Py_ssize_t>(k)), numbers)) return false;
      return true;
    case Kind::dict: {
      if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != node.more.ptr() ||
          PyDict_GET_SIZE(object) != static_cast<Py_ssize_t>(node.count) ||
          !py::tuple(py::reinterpret_borrow<py::object>(tree)).equal(node.object))
        return false;
      for (const py::handle key : node.object)
        if (!read(at, py::reinterpret_borrow<py::object>(tree[key]), numbers)) return false;
      return true;
    }
    case Kind::dataclass:
      if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != node.object.ptr()) return false;
      for (const py::handle field : node.more)
        if (!read(at, tree.attr(py::str(field)), numbers)) return false;
      return true;
    case Kind::constant:
      return same_constant(tree, node.object);
  }
  return false;
}

bool Structure::equals(const Structure& other, bool constants) const {
  const auto same_object = [](const py::object& x, const py::object& y) {
    return x.ptr() == y.ptr() || (x && y && Py_TYPE(x.ptr()) == Py_TYPE(y.ptr()) && x.equal(y));
  };
  return std::equal(nodes_.begin(), nodes_.end(), other.nodes_.begin(), other.nodes_.end(),
                    [&](const Node& x, const Node& y) {
                      if (x.kind != y.kind || x.count != y.count || x.shape != y.shape)
                        return false;
                      if (x.kind == Kind::constant)
                        return !constants || same_constant(x.object, y.object);
                      return same_object(x.object, y.object) && same_object(x.more, y.more);
                    });
}

int Structure::traverse(visitproc visit, void* arg) const {
  for (const Node& node : nodes_) {
    Py_VISIT(node.object.ptr());
    Py_VISIT(node.more.ptr());
  }
  return 0;
}

void register_trees(py::module_& module) {
  py::class_<Structure, std::shared_ptr<Structure>>(module, "Structure",
                                                    "How numbers are nested in a tree.")
      .def("__len__", &Structure::size)
      .def("__eq__",
           [](const Structure& self, py::handle other) {
             return py::isinstance<Structure>(other) && self == other.cast<const Structure&>();
           })
      .def("nests_as", &Structure::nests_as, py::arg("other"),
           "Whether numbers are nested in the same way, whatever the constants are.")
      .def("unflatten",
           py::overload_cast<const std::vector<py::object>&>(&Structure::unflatten, py::const_),
           py::arg("numbers"), "The tree with these numbers in it.")
      .def("rebuild", &Structure::rebuild, py::arg("blocks"),
           "The tree with these objects in the place of its numbers and arrays.")
      .def_property_readonly(
          "shapes",
          [](const Structure& self) {
            py::list shapes;
            for (const Structure::Node& node : self.nodes()) {
              if (node.kind == Kind::number) shapes.append(py::none());
              if (node.kind == Kind::array) shapes.append(py::tuple(py::cast(node.shape)));
            }
            return shapes;
          },
          "The shape of each array, in order; None for a number.");
  module.def(
      "flatten",
      [](py::handle tree, const std::string& name, bool constants) {
        auto structure = std::make_shared<Structure>();
        std::vector<py::object> numbers;
        structure->add(tree, name, constants, numbers);
        return py::make_tuple(numbers, structure);
      },
      py::arg("tree"), py::arg("name"), py::arg("constants") = false,
      "The numbers in a tree, and its structure. `name` is what messages call it.");
}

}  // namespace tapegrad::python
