// NumPy's array type, and the test for arrays that are read.
#include "common/arrays.hpp"

namespace tapegrad::python {

namespace {

// numpy.ndarray, a reference kept for ever. Null before the program imports NumPy: there are no
// arrays then.
PyTypeObject* array_type() {
  static PyTypeObject* type = nullptr;
  if (type == nullptr) type = numpy_type("ndarray");
  return type;
}

}  // namespace

PyTypeObject* numpy_type(const char* name) {
  PyObject* const numpy = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
  if (numpy == nullptr) return nullptr;
  PyObject* const type = PyObject_GetAttrString(numpy, name);  // kept for ever
  if (type == nullptr || !PyType_Check(type)) {
    PyErr_Clear();
    return nullptr;
  }
  return reinterpret_cast<PyTypeObject*>(type);
}

bool is_array(PyObject* object) { return Py_TYPE(object) == array_type(); }

bool is_array_subclass(PyObject* object) {
  PyTypeObject* const type = array_type();
  return type != nullptr && Py_TYPE(object) != type && PyObject_TypeCheck(object, type);
}

bool refuse_array_subclass(PyObject* object, const std::string& name) {
  if (!is_array_subclass(object)) return false;
  PyErr_Format(PyExc_TypeError,
               "%s is a '%s', a subclass of NumPy's array whose own arithmetic would be lost: pass "
               "a plain array, np.asarray(x)",
               name.c_str(), Py_TYPE(object)->tp_name);
  return true;
}

}  // namespace tapegrad::python
