// Classes of pybind11's that survive a lack of memory.
#pragma once

#include <pybind11/pybind11.h>

namespace tapegrad::python {

// pybind11 does not ask whether there was memory for a new object, and writes into it. A class with
// this attribute raises MemoryError.
inline pybind11::custom_type_setup checked_allocation() {
  return pybind11::custom_type_setup([](PyHeapTypeObject* heap_type) {
    PyTypeObject* const type = &heap_type->ht_type;
    // Called by pybind11 alone, through which it may throw: by casts, and by what follows.
    type->tp_alloc = [](PyTypeObject* self, Py_ssize_t items) -> PyObject* {
      PyObject* const object = PyType_GenericAlloc(self, items);
      if (object == nullptr) throw pybind11::error_already_set();
      return object;
    };
    type->tp_new = [](PyTypeObject* self, PyObject*, PyObject*) -> PyObject* {
      try {
        return pybind11::detail::make_new_instance(self);
      } catch (pybind11::error_already_set& error) {
        error.restore();
      } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
      }
      return nullptr;
    };
  });
}

}  // namespace tapegrad::python
