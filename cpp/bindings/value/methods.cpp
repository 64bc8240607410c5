// Methods of Value: one for each name of each operation in the table, and others such as
// backward().
#include <cmath>
#include <string>
#include <vector>

#include "common/signature.hpp"
#include "traced/anomalies.hpp"
#include "value/copying.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

namespace {

template <std::size_t K>
[[gnu::noinline]] PyObject* unary_checked(PyObject* self) {
  return guarded([&] { return wrap(tape().record<static_cast<Op>(K)>(node_of(self))); });
}

template <std::size_t K>
PyObject* unary_method(PyObject* self, PyObject*) {
  if (!ready()) [[unlikely]]
    return unary_checked<K>(self);
  return wrap(tape().record<static_cast<Op>(K)>(node_of(self)));
}

// A method with further parameters besides self.
template <std::size_t K>
PyObject* method(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return call_operation(K, self, args, count, keywords);
}

template <std::size_t K>
void add_methods(std::vector<PyMethodDef>& methods) {
  constexpr const Description& what = ops::descriptions[K];
  if constexpr (what.arity != variadic && !what.constant_last && !what.inner) {
    for (const std::string_view name : names_of(what)) {
      PyMethodDef definition{};
      definition.ml_name = kept(std::string(name));
      definition.ml_doc = kept(documentation(what, name, true));
      if constexpr (what.arity == 1) {
        definition.ml_meth = unary_method<K>;
        definition.ml_flags = METH_NOARGS;
      } else {
        definition.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method<K>));
        definition.ml_flags = METH_FASTCALL | METH_KEYWORDS;
      }
      methods.push_back(definition);
    }
  }
}

extern "C" {

PyObject* backward(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static const char* const names[] = {"seed"};
  PyObject* given[1] = {};
  if (!split_arguments("backward", args, count, keywords, names, 1, 0, given)) return nullptr;
  double seed = 1.0;
  if (given[0] != nullptr && !need_number(given[0], "seed", seed)) return nullptr;
  if (!is_set(self)) return nullptr;
  ++changes;
  return guarded([&]() -> PyObject* {
    if (anomaly_on()) checked_backward(node_of(self), seed);
    else tape().backward(node_of(self), seed);
    Py_RETURN_NONE;
  });
}

PyObject* zero_grad(PyObject* self, PyObject*) {
  if (!is_set(self)) return nullptr;
  ++changes;
  return guarded([&]() -> PyObject* {
    tape().zero_adjoints(node_of(self));
    Py_RETURN_NONE;
  });
}

PyObject* format(PyObject* self, PyObject* specification) {
  if (!PyUnicode_Check(specification)) {
    PyErr_Format(PyExc_TypeError, "__format__() argument must be str, not '%s'",
                 Py_TYPE(specification)->tp_name);
    return nullptr;
  }
  if (PyUnicode_GET_LENGTH(specification) == 0) return PyObject_Str(self);
  if (!is_set(self)) return nullptr;
  PyObject* number = PyFloat_FromDouble(tape().cell(node_of(self)).primal);
  if (number == nullptr) return nullptr;
  PyObject* text = PyObject_Format(number, specification);
  Py_DECREF(number);
  return text;
}

}  // extern "C"

}  // namespace

std::vector<PyMethodDef> operation_methods() {
  std::vector<PyMethodDef> methods;
  [&]<std::size_t... K>(std::index_sequence<K...>) { (add_methods<K>(methods), ...); }
  (std::make_index_sequence<ops::count>());
  return methods;
}

std::vector<PyMethodDef> other_methods() {
  const auto fast = [](auto* function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
  };
  return {
      {"backward", fast(backward), METH_FASTCALL | METH_KEYWORDS,
       "backward($self, /, seed=1.0)\n--\n\n"
       "Set this node's gradient to `seed`, and add its derivatives, times `seed`, to the gradients\n"
       "of all nodes that it was computed from.\n\n"
       ">>> from tapegrad import Value\n"
       ">>> x = Value(3.0)\n"
       ">>> (x * x).backward()\n"
       ">>> x.grad\n"
       "6.0"},
      {"zero_grad", zero_grad, METH_NOARGS,
       "zero_grad($self, /)\n--\n\n"
       "Set the gradients of this node and of all nodes that it was computed from to 0."},
      {"__format__", format, METH_O,
       "__format__($self, format_spec, /)\n--\n\nFormat the data as float does, or return "
       "str(self) for an empty specification."},
      {"__copy__", value_copy, METH_NOARGS,
       "__copy__($self, /)\n--\n\nReturn a new node with the same operands, data, grad and attributes."},
      {"__deepcopy__", value_deepcopy, METH_O,
       "__deepcopy__($self, memo, /)\n--\n\nReturn a copy of this node and of the graph it was computed from."},
      {"__reduce__", value_reduce, METH_NOARGS,
       "__reduce__($self, /)\n--\n\nHelp copy and pickle."},
      {"__reduce_ex__", value_reduce_ex, METH_O,
       "__reduce_ex__($self, protocol, /)\n--\n\nHelp copy and pickle."},
      {"__setstate__", value_setstate, METH_O,
       "__setstate__($self, state, /)\n--\n\nHelp copy and pickle."},
      {nullptr, nullptr, 0, nullptr},
  };
}

}  // namespace tapegrad::python
