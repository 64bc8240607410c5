// Copying and pickling of graphs as flat arrays, whose depth has no limit.
#pragma once

#include "value/handle.hpp"

namespace tapegrad::python {

extern "C" {
PyObject* value_copy(PyObject* self, PyObject*);
PyObject* value_deepcopy(PyObject* self, PyObject* memo);
PyObject* value_reduce(PyObject* self, PyObject*);
PyObject* value_reduce_ex(PyObject* self, PyObject* protocol);
PyObject* value_setstate(PyObject* self, PyObject* state);
}

}  // namespace tapegrad::python
