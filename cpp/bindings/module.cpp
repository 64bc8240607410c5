// The extension module tapegrad._core.
#include "module.hpp"

#include "handle.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace tapegrad::python;
  module.doc() = "The compiled core of tapegrad.";
  new (&forever.tape) tapegrad::Tape;
  register_value(module);
  register_functions(module);
  register_snapshots(module);
  register_inspection(module);
}
