// The reading of plain numbers and of text from Python objects.
#include "traced/traced.hpp"

#include <cstring>

#include "common/arrays.hpp"

namespace tapegrad::python {

namespace {

// True if the dtype's kind is one of the given characters. Sets no error.
bool has_kind(PyObject* dtype, const char* kinds) {
  PyObject* kind = PyObject_GetAttrString(dtype, "kind");
  if (kind == nullptr) {
    PyErr_Clear();
    return false;
  }
  const char* text = PyUnicode_Check(kind) ? PyUnicode_AsUTF8(kind) : "?";
  const bool found = text != nullptr && text[0] != '\0' && std::strchr(kinds, text[0]) != nullptr;
  if (text == nullptr) PyErr_Clear();
  Py_DECREF(kind);
  return found;
}

// True if the `ndim` of the object is 0, missing or not an int.
bool has_no_axes(PyObject* object) {
  PyObject* ndim = PyObject_GetAttrString(object, "ndim");
  if (ndim == nullptr) {
    PyErr_Clear();
    return true;
  }
  const long dimensions = PyLong_Check(ndim) ? PyLong_AsLong(ndim) : 0;
  Py_DECREF(ndim);
  return dimensions == 0;
}

// True for NumPy's scalars and 0-d arrays of real numbers, and for objects without a dtype. Longer
// arrays, complex numbers and arrays of objects are not numbers, though all of them have __float__.
// Nor is np.ma.masked, which is an array. False with an error set for an array of a subclass
// without axes, and for errors such as KeyboardInterrupt.
bool is_real_array_scalar(PyObject* object) {
  // Arrays with axes are left to NumPy. np.ma.masked would be read as NaN.
  if (is_array_subclass(object) && has_no_axes(object))
    return !refuse_array_subclass(object, "a number");
  PyObject* dtype = PyObject_GetAttrString(object, "dtype");
  if (dtype == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return false;  // KeyboardInterrupt and similar
    PyErr_Clear();
    return true;
  }
  const bool number = has_kind(dtype, "fiub") || !PyObject_HasAttrString(dtype, "kind");
  Py_DECREF(dtype);
  if (!number) return false;
  return has_no_axes(object);
}

}  // namespace

Reading read_number(PyObject* object, double& number) {
  if (PyLong_CheckExact(object)) {
    number = PyLong_AsDouble(object);
  } else if (PyFloat_Check(object)) {
    number = PyFloat_AS_DOUBLE(object);
    return Reading::ok;
  } else {
    const PyNumberMethods* methods = Py_TYPE(object)->tp_as_number;
    if (methods == nullptr || (methods->nb_float == nullptr && methods->nb_index == nullptr) ||
        PyComplex_Check(object) || is_value(object) || is_traced(object) ||
        !is_real_array_scalar(object))
      return PyErr_Occurred() ? Reading::error : Reading::unknown;
    number = PyFloat_AsDouble(object);
  }
  return number == -1.0 && PyErr_Occurred() ? Reading::error : Reading::ok;
}

Reading read_operand(PyObject* object, Argument& argument) {
  if (!PyFloat_CheckExact(object) && !PyLong_CheckExact(object) && is_value(object)) {
    argument = {node_of(object), tape().cell(node_of(object)).primal};
    return Reading::ok;
  }
  argument.node = no_node;
  return read_number(object, argument.primal);
}

bool need_number(PyObject* object, const char* name, double& number) {
  switch (read_number(object, number)) {
    case Reading::ok:
      return true;
    case Reading::unknown:
      PyErr_Format(PyExc_TypeError, "%s must be a real number, not '%s'", name,
                   Py_TYPE(object)->tp_name);
      return false;
    case Reading::error:
      return false;
  }
  return false;
}

bool need_text(PyObject* object, const char* name, std::string& text) {
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s must be a str, not '%s'", name, Py_TYPE(object)->tp_name);
    return false;
  }
  Py_ssize_t size = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(object, &size);
  if (bytes == nullptr) return false;
  text.assign(bytes, static_cast<std::size_t>(size));
  return true;
}

}  // namespace tapegrad::python
