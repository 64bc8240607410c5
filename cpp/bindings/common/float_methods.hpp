// Methods and attributes of floats that Values and traced numbers both have.
#pragma once

#include <Python.h>

#include <vector>

namespace tapegrad::python {

std::vector<PyMethodDef> float_methods();
std::vector<PyGetSetDef> float_attributes();

}  // namespace tapegrad::python
