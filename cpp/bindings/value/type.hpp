// The slots of `Value`, one file per subject; type.cpp puts them together.
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
// Adds what a dict has to a Value's attributes. False with an error set.
bool add_attributes(PyObject* self, PyObject* attributes);
// Whether attributes and slots refer to anything that a reference cycle can go through.
bool owns_containers(Handle* handle);
// Instances of a class that is a subclass of Value die as subclass.cpp tells: to be called before
// one turns into an instance of it. False with an error set.
bool prepare_class(PyObject* type);
// How many __slots__ instances of a Python class have, after their handle.
std::size_t slots_of(PyTypeObject* type);

std::vector<PyType_Slot> operator_slots();
std::vector<PyGetSetDef> attribute_definitions();
std::vector<PyMethodDef> operation_methods();  // generated from the table
std::vector<PyMethodDef> other_methods();      // backward, zero_grad, copying, ...

// Whether arguments can be split into `names`, positional or by keyword; those not given are null.
bool split_arguments(const char* function, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords, const char* const* names, Py_ssize_t most,
                     Py_ssize_t least, PyObject** out);

}  // namespace tapegrad::python
