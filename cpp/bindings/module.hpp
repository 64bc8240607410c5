// One registration function per subject.
#pragma once

#include <pybind11/pybind11.h>

namespace tapegrad::python {

void register_value(pybind11::module_& module);       // type.cpp
void register_functions(pybind11::module_& module);   // functions.cpp
void register_layers(pybind11::module_& module);      // layers.cpp
void register_losses(pybind11::module_& module);      // losses.cpp
void register_snapshots(pybind11::module_& module);   // snapshot.cpp
void register_inspection(pybind11::module_& module);  // inspection.cpp
void register_modes(pybind11::module_& module);       // modes.cpp
void register_bulk(pybind11::module_& module);        // bulk.cpp
void register_optimizers(pybind11::module_& module);  // optimizers.cpp
void register_traced(pybind11::module_& module);      // traced.cpp
void register_trees(pybind11::module_& module);       // trees.cpp
void register_recordings(pybind11::module_& module);  // recordings.cpp
void register_programs(pybind11::module_& module);    // programs.cpp
void register_compiled(pybind11::module_& module);    // compiled.cpp
void register_sparsity(pybind11::module_& module);    // sparsity.cpp
void register_c_text(pybind11::module_& module);      // ctext.cpp

}  // namespace tapegrad::python
