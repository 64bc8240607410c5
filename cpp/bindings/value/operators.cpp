// CPython's number, comparison and text slots of Value.
#include "value/type.hpp"

namespace tapegrad::python {

namespace {

// Records an operation on any two operands, or returns NotImplemented if one is neither a Value nor
// a number.
template <Op code>
[[gnu::noinline]] PyObject* binary_mixed(PyObject* a, PyObject* b) {
  Argument x, y;
  for (const auto& [object, argument] : {std::pair(a, &x), std::pair(b, &y)}) {
    const Reading reading = read_operand(object, *argument);
    if (reading == Reading::error) return nullptr;
    if (reading == Reading::unknown) Py_RETURN_NOTIMPLEMENTED;
  }
  return guarded([&] { return wrap(tape().record<code>(x, y)); });
}

template <Op code>
PyObject* binary_looked_at(PyObject* a, PyObject* b);

// Records an operation on two exact Values, or on a Value and a float or small int, which are the
// operands of most programs. binary_looked_at() and binary_mixed() take all others. `quietly`
// promises that the result needs no check, so that the common path calls no function.
template <Op code, bool quietly>
[[gnu::always_inline]] inline PyObject* binary_ready(PyObject* a, PyObject* b) {
  const PyTypeObject* const type = quietly ? fast_path_type : value_type;
  const auto record = [](auto x, auto y) {
    if constexpr (quietly) {
      // First: its store goes to the same cache line as the tape's.
      Handle* const handle = free_handles().pop();
      return point(handle, tape().record<code, true>(x, y));
    } else {
      return wrap(tape().record<code>(x, y));
    }
  };
  double number;
  if (Py_TYPE(a) == type) [[likely]] {
    if (Py_TYPE(b) == type) [[likely]]
      return record(node_of(a), node_of(b));
    if (read_small(b, number)) return record(node_of(a), number);
  } else if (Py_TYPE(b) == type && read_small(a, number)) {
    return record(number, node_of(b));
  }
  return quietly ? binary_looked_at<code>(a, b) : binary_mixed<code>(a, b);
}

// Records an operation whose result may need a check for a mode or a heritable operand, or for
// which there may be no room.
template <Op code>
[[gnu::noinline]] PyObject* binary_looked_at(PyObject* a, PyObject* b) {
  return ready() ? binary_ready<code, false>(a, b) : binary_mixed<code>(a, b);
}

template <Op code>
PyObject* binary(PyObject* a, PyObject* b) {
  return has_room() ? binary_ready<code, true>(a, b) : binary_looked_at<code>(a, b);
}

// Records a power. Almost every power in a program has a plain exponent.
PyObject* power(PyObject* a, PyObject* b) {
  double exponent = 0.0;
  if (Py_TYPE(a) == value_type && read_small(b, exponent))
    return guarded([&] { return wrap(tape().record<op<"pow_const">()>(node_of(a), exponent)); });
  return binary_mixed<op<"pow">()>(a, b);
}

template <Op code>
PyObject* unary(PyObject* self) {
  return guarded([&] { return wrap(tape().record<code>(node_of(self))); });
}

extern "C" {
PyObject* value_add(PyObject* a, PyObject* b) { return binary<op<"add">()>(a, b); }
PyObject* value_subtract(PyObject* a, PyObject* b) { return binary<op<"sub">()>(a, b); }
PyObject* value_multiply(PyObject* a, PyObject* b) { return binary<op<"mul">()>(a, b); }
PyObject* value_divide(PyObject* a, PyObject* b) { return binary<op<"div">()>(a, b); }
PyObject* value_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return power(a, b);
}
PyObject* value_negative(PyObject* self) { return unary<op<"neg">()>(self); }
PyObject* value_absolute(PyObject* self) { return unary<op<"abs">()>(self); }
PyObject* value_positive(PyObject* self) { return Py_NewRef(self); }
}

}  // namespace

extern "C" PyObject* value_richcompare(PyObject* a, PyObject* b, int comparison) {
  // A Value stands for a node, so that equality is identity, which object's own comparison gives.
  if (comparison == Py_EQ || comparison == Py_NE) Py_RETURN_NOTIMPLEMENTED;
  Argument x, y;
  if (read_operand(a, x) == Reading::error) return nullptr;  // the Value has no data yet
  if (read_operand(b, y) == Reading::ok) Py_RETURN_RICHCOMPARE(x.primal, y.primal, comparison);
  // Compare an int that is too large for a float with the number as Python does.
  if (!PyErr_Occurred()) Py_RETURN_NOTIMPLEMENTED;
  if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return nullptr;
  PyErr_Clear();
  PyObject* data = PyFloat_FromDouble(x.primal);
  if (data == nullptr) return nullptr;
  PyObject* result = PyObject_RichCompare(data, b, comparison);
  Py_DECREF(data);
  return result;
}

extern "C" Py_hash_t value_hash(PyObject* self) {
  // Addresses are multiples of 16. A rotation by 4 bits puts neighbours into different buckets.
  const auto bits = reinterpret_cast<std::uintptr_t>(self);
  const auto hash = static_cast<Py_hash_t>(bits >> 4 | bits << (8 * sizeof(bits) - 4));
  return hash == -1 ? -2 : hash;
}

extern "C" PyObject* value_float(PyObject* self) {
  if (!is_set(self)) return nullptr;
  PyErr_SetString(PyExc_TypeError,
                  "a Value is not converted to float, since its gradient would be lost: use v.data "
                  "for the number, or tapegrad.exp(v) in place of math.exp(v)");
  return nullptr;
}

extern "C" PyObject* value_repr(PyObject* self) {
  if (node_of(self) == unset_node) return PyUnicode_FromString("Value(data not set)");
  char* text =
      PyOS_double_to_string(tape().cell(node_of(self)).primal, 'r', 0, Py_DTSF_ADD_DOT_0, nullptr);
  if (text == nullptr) return nullptr;
  PyObject* result = PyUnicode_FromFormat("Value(data=%s)", text);
  PyMem_Free(text);
  return result;
}

std::vector<PyType_Slot> operator_slots() {
  const auto slot = [](int id, auto* function) {
    return PyType_Slot{id, reinterpret_cast<void*>(function)};
  };
  return {slot(Py_nb_add, value_add),           slot(Py_nb_subtract, value_subtract),
          slot(Py_nb_multiply, value_multiply), slot(Py_nb_true_divide, value_divide),
          slot(Py_nb_power, value_power),       slot(Py_nb_negative, value_negative),
          slot(Py_nb_absolute, value_absolute), slot(Py_nb_positive, value_positive),
          slot(Py_nb_float, value_float)};
}

}  // namespace tapegrad::python
