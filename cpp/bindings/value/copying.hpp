// Shallow and deep copies of graphs, whose depth has no limit.
#pragma once

#include <memory>

#include <pybind11/pybind11.h>

#include "value/snapshot.hpp"

namespace tapegrad::python {

extern "C" {
PyObject* value_copy(PyObject* self, PyObject*);
PyObject* value_deepcopy(PyObject* self, PyObject* memo);
}

// A deep copy of a snapshot that an object keeps, with the copies of its nodes.
std::unique_ptr<Snapshot> copied_snapshot(const Snapshot& snapshot, const pybind11::dict& memo);

}  // namespace tapegrad::python
