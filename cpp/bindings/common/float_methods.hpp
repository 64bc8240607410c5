// The methods and attributes of float that Values and traced numbers share.
#pragma once

#include <Python.h>

#include <vector>

namespace tapegrad::python {

std::vector<PyMethodDef> float_methods();
// The attributes `real` and `imag`. With `writable`, an instance may have an attribute of its own
// under either name.
std::vector<PyGetSetDef> float_attributes(bool writable);

}  // namespace tapegrad::python
