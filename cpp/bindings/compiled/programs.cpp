// The Python interface of programs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "common/allocation.hpp"
#include "module.hpp"
#include "tapegrad/detail/ir/program_cache.hpp"
#include "traced/pytree.hpp"

namespace tapegrad::python {

namespace {

constexpr const char* guard_names[] = {"<",     "<=",   "==",    "float", "int",
                                       "floor", "ceil", "round", "//",    "digits"};

py::list instructions(const Program& program) {
  py::list all;
  const ValueId* operand = program.operands.data();
  std::size_t result = program.constants.size() + program.inputs;
  for (const Program::Run& run : program.runs)
    for (std::uint32_t k = 0; k < run.count; ++k, ++result) {
      py::tuple operands(operand_count(run.op));
      for (std::size_t j = 0; j < operands.size(); ++j) operands[j] = *operand++;
      all.append(py::make_tuple(description(run.op)->name, result, operands));
    }
  return all;
}

py::list guards(const Program& program) {
  py::list all;
  for (const Guard& guard : program.guards) {
    py::list operands;
    for (const ValueId operand : guard.operand)
      if (operand != no_value) operands.append(operand);
    all.append(py::make_tuple(guard_names[guard.kind], py::tuple(operands), guard.outcome,
                              source_text(guard.source)));
  }
  return all;
}

}  // namespace

void register_programs(py::module_& module) {
  py::class_<Program, std::shared_ptr<Program>>(module, "Program", checked_allocation(),
                                                "A straight-line program made of a recording.")
      .def("__len__", &Program::size)
      .def_readonly("constants", &Program::constants)
      .def_readonly("inputs", &Program::inputs)
      .def_readonly("outputs", &Program::outputs)
      .def_property_readonly("bytes", &Program::bytes)
      .def_property_readonly("runs", [](const Program& self) { return self.runs.size(); })
      .def_property_readonly("instructions", instructions)
      .def_property_readonly("guards", guards)
      .def(
          "__call__",
          [](const std::shared_ptr<Program>& self, const std::vector<double>& inputs) {
            if (inputs.size() != self->inputs)
              throw py::value_error("the program has " + std::to_string(self->inputs) +
                                    " inputs, not " + std::to_string(inputs.size()));
            CachedProgram path(self, nullptr);
            if (path.replay(inputs) != Program::all_hold) return py::object(py::none());
            py::list results;
            for (const ValueId output : self->outputs) results.append(path.numbers[output]);
            return py::object(std::move(results));
          },
          py::arg("numbers"), "Return the outputs for these inputs, or None if a guard is broken.");
}

}  // namespace tapegrad::python
