// Comparison of the arguments of a compiled function with known tree definitions.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/arrays.hpp"
#include "traced/pytree.hpp"

namespace tapegrad::python {

using Kind = TreeDef::Kind;

namespace {

// Reads a number that is not traced. Returns false, with no error set, for other objects, among
// them integers that TreeDef::add treats as constants or refuses.
bool read_plain(py::handle object, bool floating, double& number) {
  if (PyFloat_CheckExact(object.ptr())) {
    number = PyFloat_AS_DOUBLE(object.ptr());
    return true;
  }
  if (is_traced(object.ptr()) || PyBool_Check(object.ptr()) || is_value(object.ptr())) return false;
  if (!floating && is_named_constant(object)) return false;
  if (const Digits digits = digits_of(object); digits != Digits::small)
    if (!floating || digits == Digits::lost) return false;
  if (read_number(object.ptr(), number) == Reading::ok) return true;
  PyErr_Clear();
  return false;
}

// True for an instance of a built-in class, or a NumPy integer, that is compared by value and not
// by identity.
bool is_compared(PyObject* object) {
  return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) ||
         PyComplex_CheckExact(object) || PyRange_Check(object) || PyLong_CheckExact(object) ||
         is_numpy_integer(object);
}

// True if two static arguments have the same type and are equal. 0.0 differs from -0.0 and 1 from
// True, also inside tuples.
bool same_static(py::handle x, py::handle y) {
  if (x.ptr() == y.ptr()) return true;
  if (Py_TYPE(x.ptr()) != Py_TYPE(y.ptr())) return false;
  if (PyFloat_CheckExact(x.ptr()))
    return same(PyFloat_AS_DOUBLE(x.ptr()), PyFloat_AS_DOUBLE(y.ptr()));
  if (PyTuple_CheckExact(x.ptr())) {
    const Py_ssize_t count = PyTuple_GET_SIZE(x.ptr());
    if (PyTuple_GET_SIZE(y.ptr()) != count) return false;
    for (Py_ssize_t k = 0; k < count; ++k)
      if (!same_static(PyTuple_GET_ITEM(x.ptr(), k), PyTuple_GET_ITEM(y.ptr(), k))) return false;
    return true;
  }
  const int equal = PyObject_RichCompareBool(x.ptr(), y.ptr(), Py_EQ);
  if (equal < 0) throw py::error_already_set();
  return equal == 1;
}

// True if the object is a plain array with the dtype, shape and content of the node's array, which
// lies in C order.
bool same_integers(py::handle object, const TreeDef::Node& node) {
  if (!is_array(object.ptr())) return false;
  const auto array = py::reinterpret_borrow<py::array>(object);
  const auto kept = py::reinterpret_borrow<py::array>(node.object);
  if (static_cast<std::size_t>(array.ndim()) != node.shape.size() ||
      !std::equal(node.shape.begin(), node.shape.end(), array.shape()) ||
      !(array.dtype().is(kept.dtype()) || array.dtype().equal(kept.dtype())))
    return false;
  const auto flat = py::array::ensure(array, py::array::c_style);
  if (!flat) {
    PyErr_Clear();
    return false;
  }
  return std::memcmp(flat.data(), kept.data(), static_cast<std::size_t>(kept.nbytes())) == 0;
}

}  // namespace

bool Exceptions::is_static(py::handle name) const {
  for (const py::object& each : static_names)
    if (each.is(name) || PyUnicode_Compare(each.ptr(), name.ptr()) == 0) return true;
  return false;
}

py::object referent_of(py::handle reference) {
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* object = nullptr;
  if (PyWeakref_GetRef(reference.ptr(), &object) < 0) throw py::error_already_set();
  return object != nullptr ? py::reinterpret_steal<py::object>(object) : py::object(py::none());
#else
  return py::reinterpret_borrow<py::object>(PyWeakref_GetObject(reference.ptr()));
#endif
}

bool is_constant(Kind kind) {
  return kind == Kind::constant || kind == Kind::integers || kind == Kind::static_value;
}

bool same_constant(const TreeDef::Node& node, py::handle object) {
  switch (node.kind) {
    case Kind::constant: {
      // No weak reference refers to None: None stands for a dead constant, which nothing matches.
      const py::object kept = node.weak ? referent_of(node.object) : node.object;
      if (kept.is(object)) return !node.weak || !kept.is_none();
      return Py_TYPE(kept.ptr()) == Py_TYPE(object.ptr()) && is_compared(kept.ptr()) &&
             kept.equal(object);
    }
    case Kind::integers:
      return same_integers(object, node);
    case Kind::static_value: {
      if (node.object.is(object)) return true;
      if (Py_TYPE(node.object.ptr()) != Py_TYPE(object.ptr())) return false;
      const Py_hash_t hash = PyObject_Hash(object.ptr());
      if (hash == -1) {
        PyErr_Clear();  // the following recording reports the error
        return false;
      }
      return static_cast<std::size_t>(hash) == node.count && same_static(node.object, object);
    }
    default:
      return false;
  }
}

void TreeDef::weaken() {
  for (Node& node : nodes_)
    if (node.kind == Kind::constant && !node.weak &&
        PyType_SUPPORTS_WEAKREFS(Py_TYPE(node.object.ptr()))) {
      py::object reference =
          py::reinterpret_steal<py::object>(PyWeakref_NewRef(node.object.ptr(), nullptr));
      if (!reference) {
        PyErr_Clear();
        continue;
      }
      node.object = std::move(reference);
      node.weak = true;
    }
}

bool TreeDef::is_dead() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [](const Node& node) {
    return node.weak && referent_of(node.object).is_none();
  });
}

bool TreeDef::read_call(py::handle args, py::handle keywords, double*& numbers) const {
  std::size_t at = 2;
  const std::size_t count = nodes_[1].count;
  if (PyTuple_GET_SIZE(args.ptr()) != static_cast<Py_ssize_t>(count)) return false;
  // First the constants, which rule out most structures.
  for (const auto& [node, position] : leading_)
    if (!same_constant(nodes_[node], PyTuple_GET_ITEM(args.ptr(), position))) return false;
  for (std::size_t k = 0; k < count; ++k)
    if (is_constant(nodes_[at].kind)) ++at;
    else if (!read(at, PyTuple_GET_ITEM(args.ptr(), static_cast<Py_ssize_t>(k)), numbers))
      return false;
  return keywords ? read(at, keywords, numbers) : nodes_[at].count == 0;
}

bool TreeDef::read_array(const Node& node, py::handle tree, double*& numbers) const {
  if (!is_array(tree.ptr())) return false;
  const auto array = py::reinterpret_borrow<py::array>(tree);
  if (static_cast<std::size_t>(array.ndim()) != node.shape.size() ||
      !std::equal(node.shape.begin(), node.shape.end(), array.shape()))
    return false;
  const char kind = array.dtype().kind();
  if (kind == 'O') {
    const std::vector<py::object> items = elements_of(array);
    return std::all_of(items.begin(), items.end(),
                       [&](const py::object& item) { return read_plain(item, true, *numbers++); });
  }
  if (std::string_view(node.floating ? "fiub" : "f").find(kind) == std::string_view::npos ||
      loses_digits(array))
    return false;
  const auto doubles =
      py::array_t<double, py::array::c_style | py::array::forcecast>::ensure(array);
  if (!doubles) {
    PyErr_Clear();
    return false;
  }
  numbers = std::copy_n(doubles.data(), node.count, numbers);
  return true;
}

bool TreeDef::read(std::size_t& at, py::handle tree, double*& numbers) const {
  const Node& node = nodes_[at++];
  PyObject* const object = tree.ptr();
  switch (node.kind) {
    case Kind::number:
      return read_plain(tree, node.floating, *numbers++);
    case Kind::array:
      return read_array(node, tree, numbers);
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
          !owned(PySequence_Tuple(object)).equal(node.object))
        return false;
      for (const py::handle key : py::reinterpret_borrow<py::tuple>(node.object)) {
        // A key with its own equality may change the dict.
        const auto item =
            py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(object, key.ptr()));
        if (!item && PyErr_Occurred()) throw py::error_already_set();
        if (!item || !read(at, item, numbers)) return false;
      }
      return true;
    }
    case Kind::dataclass:
      if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != node.object.ptr()) return false;
      for (const py::handle field : node.more)
        if (!read(at, tree.attr(py::str(field)), numbers)) return false;
      return true;
    case Kind::constant:
    case Kind::integers:
    case Kind::static_value:
      return same_constant(node, tree);
  }
  return false;
}

bool TreeDef::equals(const TreeDef& other, bool constants) const {
  const auto same_object = [](const py::object& x, const py::object& y) {
    return x.ptr() == y.ptr() || (x && y && Py_TYPE(x.ptr()) == Py_TYPE(y.ptr()) && x.equal(y));
  };
  return std::equal(nodes_.begin(), nodes_.end(), other.nodes_.begin(), other.nodes_.end(),
                    [&](const Node& x, const Node& y) {
                      if (x.kind != y.kind || x.count != y.count || x.shape != y.shape ||
                          x.floating != y.floating)
                        return false;
                      if (is_constant(x.kind))
                        return !constants ||
                               same_constant(x, y.weak ? referent_of(y.object) : y.object);
                      return same_object(x.object, y.object) && same_object(x.more, y.more);
                    });
}

int TreeDef::traverse(visitproc visit, void* arg) const {
  for (const Node& node : nodes_) {
    Py_VISIT(node.object.ptr());
    Py_VISIT(node.more.ptr());
  }
  return 0;
}

}  // namespace tapegrad::python
