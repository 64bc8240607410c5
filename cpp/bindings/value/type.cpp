// The type object of Value: a heap type with its own slots, so that an operator needs no dispatch.
#include <cstddef>
#include <vector>

#include "common/float_methods.hpp"
#include "module.hpp"
#include "value/type.hpp"

#include <structmember.h>  // needs Python.h, which pybind11 must include first

namespace tapegrad::python {

namespace {

constexpr char value_documentation[] =
    "Value(data, _children=(), _op='', label='', *, children=(), _prev=(), local_grads=(), "
    "_local_grads=())\n--\n\n"
    "A number that records how it was computed, so that backward() can compute its derivatives.\n\n"
    "`data` is a real number. Without `_children`, the Value is a leaf. With `_children`, an iterable of\n"
    "Values, it is a custom node of these operands. Its partial derivatives are given by `local_grads`, a\n"
    "sequence of numbers (which may also take the place of `_op`), or by a function assigned to\n"
    "`_backward`. `children`, `_prev` and `_local_grads` are other names for these parameters. Raises\n"
    "TypeError for arguments of other types, and ValueError for a wrong number of partial derivatives.\n\n"
    ">>> from tapegrad import Value\n"
    ">>> a, b = Value(2.0, label='a'), Value(-3.0, label='b')\n"
    ">>> y = a * b + 10.0\n"
    ">>> y.backward()\n"
    ">>> y, a.grad, b.grad\n"
    "(Value(data=4.0), -3.0, 2.0)";

}  // namespace

static PyTypeObject* make_type(pybind11::module_& module) {
  if (!prepare_no_attributes()) throw pybind11::error_already_set();
  reserve_unset_node();
  // CPython keeps pointers into these vectors for as long as the type lives.
  static std::vector<PyGetSetDef> attributes = attribute_definitions();
  static std::vector<PyMethodDef> methods = operation_methods();
  for (const PyMethodDef& definition : float_methods()) methods.push_back(definition);
  for (const PyMethodDef& definition : other_methods()) methods.push_back(definition);
  for (const PyGetSetDef& definition : float_attributes(true))
    attributes.insert(attributes.begin(), definition);
  static PyMemberDef members[] = {
      {"__weaklistoffset__", T_PYSSIZET, offsetof(Handle, weakrefs), READONLY, nullptr},
      {"__dictoffset__", T_PYSSIZET, offsetof(Handle, dict), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  const auto slot = [](int id, auto* pointer) {
    return PyType_Slot{id, const_cast<void*>(reinterpret_cast<const void*>(pointer))};
  };
  std::vector<PyType_Slot> slots = operator_slots();
  for (const PyType_Slot& more :
       {slot(Py_tp_new, value_new), slot(Py_tp_init, value_init),
        slot(Py_tp_dealloc, handle_dealloc), slot(Py_tp_free, handle_free),
        slot(Py_tp_traverse, handle_traverse), slot(Py_tp_clear, handle_clear),
        slot(Py_tp_richcompare, value_richcompare), slot(Py_tp_hash, value_hash),
        slot(Py_tp_repr, value_repr), slot(Py_tp_setattro, value_setattro),
        slot(Py_tp_getset, attributes.data()), slot(Py_tp_methods, methods.data()),
        slot(Py_tp_members, members), slot(Py_tp_doc, value_documentation),
        PyType_Slot{0, nullptr}})
    slots.push_back(more);
  PyType_Spec specification = {"tapegrad.Value", sizeof(Handle), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                               slots.data()};
  PyObject* type = PyType_FromModuleAndSpec(module.ptr(), &specification, nullptr);
  if (type == nullptr) throw pybind11::error_already_set();
  auto* made = reinterpret_cast<PyTypeObject*>(type);
  made->tp_name = "Value";  // the form in messages; __module__ is set already
  made->tp_vectorcall = value_vectorcall;
  return made;
}

void register_value(pybind11::module_& module) {
  if (value_type == nullptr) {
    value_type = make_type(module);
    update_fast_path();
  }
  if (PyModule_AddObjectRef(module.ptr(), "Value", reinterpret_cast<PyObject*>(value_type)) < 0)
    throw pybind11::error_already_set();
}

}  // namespace tapegrad::python
