// The methods and attributes of float and of NumPy's scalars that are not operations of the table.
// Values and traced numbers share them. NumPy applies a ufunc to an object by a call of the method
// with the ufunc's name.
#include "common/float_methods.hpp"

#include <cmath>
#include <numbers>

#include "traced/traced.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

namespace {

double number_of(PyObject* self) {
  return is_traced(self) ? primal_of(as_traced(self)) : tape().cell(node_of(self)).primal;
}

bool usable(PyObject* self) { return !is_traced(self) || is_alive(as_traced(self)); }

PyObject* multiplied(PyObject* self, double factor) {
  PyObject* number = PyFloat_FromDouble(factor);
  if (number == nullptr) return nullptr;
  PyObject* product = PyNumber_Multiply(self, number);
  Py_DECREF(number);
  return product;
}

extern "C" {

PyObject* float_itself(PyObject* self, PyObject*) { return PyNumber_Positive(self); }
PyObject* float_fabs(PyObject* self, PyObject*) { return PyNumber_Absolute(self); }
PyObject* float_radians(PyObject* self, PyObject*) {
  return multiplied(self, std::numbers::pi / 180.0);
}
PyObject* float_degrees(PyObject* self, PyObject*) {
  return multiplied(self, 180.0 / std::numbers::pi);
}

// Rounds to an integer. The derivative is 0, so that the result is a constant. It has the type of
// `self`, since NumPy calls further methods on it.
PyObject* float_rint(PyObject* self, PyObject*) {
  if (!usable(self)) return nullptr;
  return guarded([&]() -> PyObject* {
    if (!is_traced(self)) return wrap(tape().leaf(std::nearbyint(number_of(self))));
    OpenRecording& recording = *as_traced(self)->recording;
    const double whole = answer(as_traced(self), Guard::rounded);
    return traced_at(recording, recording.record<op<"stop">()>(recording.constant(whole)));
  });
}

PyObject* float_is_integer(PyObject* self, PyObject*) {
  if (!usable(self)) return nullptr;
  return guarded([&] {
    const double number = number_of(self);
    return PyBool_FromLong(is_traced(self) ? tells_whole(as_traced(self))
                                           : std::isfinite(number) && number == std::trunc(number));
  });
}

// The instance's own attribute of the given name, a borrowed reference; null if it has none. A
// class of Values may use such a name for itself, for example to count real numbers.
PyObject* own_attribute(PyObject* self, void* name) {
  PyObject* const dict = is_traced(self) ? nullptr : attributes_of(as_handle(self));
  return dict != nullptr ? PyDict_GetItemString(dict, static_cast<const char*>(name)) : nullptr;
}

PyObject* float_real(PyObject* self, void* name) {
  PyObject* const own = own_attribute(self, name);
  return own != nullptr ? Py_NewRef(own) : PyNumber_Positive(self);
}
PyObject* float_imag(PyObject* self, void* name) {
  if (PyObject* const own = own_attribute(self, name)) return Py_NewRef(own);
  return usable(self) ? PyFloat_FromDouble(0.0) : nullptr;
}

int set_own_attribute(PyObject* self, PyObject* value, void* name) {
  const char* const text = static_cast<const char*>(name);
  if (value == nullptr) {
    if (own_attribute(self, name) != nullptr)
      return PyDict_DelItemString(attributes_of(as_handle(self)), text);
    PyErr_SetString(PyExc_AttributeError, text);
    return -1;
  }
  PyObject* const attributes = Py_BuildValue("{sO}", text, value);
  if (attributes == nullptr) return -1;
  const bool added = add_attributes(self, attributes);
  Py_DECREF(attributes);
  return added ? 0 : -1;
}

}  // extern "C"

}  // namespace

std::vector<PyMethodDef> float_methods() {
  const auto method = [](const char* name, PyCFunction function, const char* text) {
    return PyMethodDef{name, function, METH_NOARGS, text};
  };
  constexpr const char* radians = "radians($self, /)\n--\n\nConvert x from degrees to radians.";
  constexpr const char* degrees = "degrees($self, /)\n--\n\nConvert x from radians to degrees.";
  constexpr const char* deg2rad = "deg2rad($self, /)\n--\n\nConvert x from degrees to radians.";
  constexpr const char* rad2deg = "rad2deg($self, /)\n--\n\nConvert x from radians to degrees.";
  return {
      method("conjugate", float_itself,
             "conjugate($self, /)\n--\n\nReturn x itself, as float.conjugate does."),
      method("fabs", float_fabs, "fabs($self, /)\n--\n\nThe absolute value."),
      method("radians", float_radians, radians),
      method("deg2rad", float_radians, deg2rad),
      method("degrees", float_degrees, degrees),
      method("rad2deg", float_degrees, rad2deg),
      method("rint", float_rint,
             "rint($self, /)\n--\n\nRound to the nearest integer, ties to even; a constant."),
      method("is_integer", float_is_integer,
             "is_integer($self, /)\n--\n\nReturn True if x is an integer."),
  };
}

std::vector<PyGetSetDef> float_attributes(bool writable) {
  static char real[] = "real", imag[] = "imag";
  const setter set = writable ? set_own_attribute : nullptr;
  return {
      {real, float_real, set, "The number itself, as float.real is.", real},
      {imag, float_imag, set, "0.0, as float.imag is.", imag},
  };
}

}  // namespace tapegrad::python
