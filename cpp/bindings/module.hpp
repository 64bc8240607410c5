// The registration functions of the extension module, one for each subject.
#pragma once

#include <pybind11/pybind11.h>

namespace tapegrad::python {

void register_value(pybind11::module_& module);       // value/type.cpp
void register_functions(pybind11::module_& module);   // common/functions.cpp
void register_layers(pybind11::module_& module);      // nn/layers.cpp
void register_losses(pybind11::module_& module);      // nn/losses.cpp
void register_snapshots(pybind11::module_& module);   // value/snapshot.cpp
void register_inspection(pybind11::module_& module);  // common/inspection.cpp
void register_modes(pybind11::module_& module);       // common/modes.cpp
void register_bulk(pybind11::module_& module);        // value/bulk.cpp
void register_optimizers(pybind11::module_& module);  // nn/optimizers.cpp
void register_traced(pybind11::module_& module);      // traced/traced.cpp
void register_trees(pybind11::module_& module);       // traced/pytree.cpp
void register_recordings(pybind11::module_& module);  // traced/recordings.cpp
void register_programs(pybind11::module_& module);    // compiled/programs.cpp
void register_compiled(pybind11::module_& module);    // compiled/compiled.cpp
void register_sparsity(pybind11::module_& module);    // traced/sparsity.cpp
void register_c_text(pybind11::module_& module);      // compiled/c_text.cpp

}  // namespace tapegrad::python
