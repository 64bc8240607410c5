// An attribute for pybind11 classes that makes them raise MemoryError.
#pragma once

#include <pybind11/pybind11.h>

#include "common/errors.hpp"

namespace tapegrad::python {

// A class attribute that checks allocations. pybind11 does not check whether it got memory for a
// new object before it writes to it. A class with this attribute raises MemoryError instead.
inline pybind11::custom_type_setup checked_allocation() {
  return pybind11::custom_type_setup([](PyHeapTypeObject* heap_type) {
    PyTypeObject* const type = &heap_type->ht_type;
    // Only pybind11 calls tp_alloc, in casts and in the tp_new below. It lets exceptions pass.
    type->tp_alloc = [](PyTypeObject* self, Py_ssize_t items) -> PyObject* {
      PyObject* const object = PyType_GenericAlloc(self, items);
      if (object == nullptr) throw pybind11::error_already_set();
      return object;
    };
    type->tp_new = [](PyTypeObject* self, PyObject*, PyObject*) -> PyObject* {
      return guarded([&] { return pybind11::detail::make_new_instance(self); });
    };
  });
}

}  // namespace tapegrad::python
