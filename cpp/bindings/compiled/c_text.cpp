// The Python interface of the C code generator.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "module.hpp"
#include "tapegrad/detail/ir/codegen/c_program.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

namespace py = pybind11;

void register_c_text(py::module_& module) {
  module.def(
      "c_function",
      [](const Program& program, const std::string& name, const std::string& title) {
        std::vector<std::string> sources;
        for (const Guard& guard : program.guards) sources.push_back(source_text(guard.source));
        return c_function(program, name, title, sources);
      },
      py::arg("program"), py::arg("name"), py::arg("title"),
      "Return the program as a C99 function.");
  module.def(
      "symbols",
      [] {
        py::dict symbols;
        for (const Description& what : ops::descriptions) symbols[py::str(what.name)] = what.symbol;
        return symbols;
      },
      "Return the symbol of each operation in drawings, including internal operations.");
}

}  // namespace tapegrad::python
