// Methods and attributes of floats that Values and traced numbers both have.
#pragma once

#include <Python.h>

#include <vector>

namespace tapegrad::python {

std::vector<PyMethodDef> float_methods();
// `writable` where an instance may have another attribute of the name.
std::vector<PyGetSetDef> float_attributes(bool writable);

}  // namespace tapegrad::python
