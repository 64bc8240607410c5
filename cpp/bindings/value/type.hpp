// The slots of Value, in one file per subject. type.cpp builds the type from them.
#pragma once

#include <vector>

#include "value/handle.hpp"

namespace tapegrad::python {

extern "C" {
// handle.cpp
void handle_dealloc(PyObject* self);
void handle_free(void* self);
int handle_traverse(PyObject* self, visitproc visit, void* arg);
int handle_clear(PyObject* self);
// construct.cpp
PyObject* value_new(PyTypeObject* type, PyObject* args, PyObject* keywords);
int value_init(PyObject* self, PyObject* args, PyObject* keywords);
PyObject* value_vectorcall(PyObject* type, PyObject* const* args, size_t flags, PyObject* names);
// operators.cpp
PyObject* value_richcompare(PyObject* a, PyObject* b, int comparison);
Py_hash_t value_hash(PyObject* self);
PyObject* value_float(PyObject* self);
PyObject* value_repr(PyObject* self);
// attributes.cpp
int value_setattro(PyObject* self, PyObject* name, PyObject* value);
}
// Adds the items of a dict to a Value's attributes. Returns false with an error set.
bool add_attributes(PyObject* self, PyObject* attributes);
// True if a reference cycle may go through one of the handle's attributes or slots.
bool owns_containers(Handle* handle);
// Prepares a subclass of Value for the deallocation that subclass.cpp describes; any other object
// is left alone. Call it before a Value becomes an instance of the class. Returns false with an
// error set.
bool prepare_class(PyObject* type);
// Number of __slots__ that instances of a Python class have after their handle.
std::size_t slots_of(PyTypeObject* type);

std::vector<PyType_Slot> operator_slots();
std::vector<PyGetSetDef> attribute_definitions();
std::vector<PyMethodDef> operation_methods();  // generated from the table
std::vector<PyMethodDef> other_methods();      // backward, zero_grad, copying, ...

// Assigns the arguments of a vectorcall to `most` parameters, by position or by keyword; the first
// `least` are required. Stores borrowed references in `out`, whose items must be null before; an
// argument that is not given stays null. Returns false, with a TypeError set, if the arguments do
// not fit.
bool split_arguments(const char* function, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords, const char* const* names, Py_ssize_t most,
                     Py_ssize_t least, PyObject** out);

}  // namespace tapegrad::python
