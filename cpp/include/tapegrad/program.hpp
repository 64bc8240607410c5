// Programs: a function is recorded once, differentiated, simplified, replayed with other inputs and
// written as C.
//
//   tapegrad::Recording recording;
//   tapegrad::Recording::current = &recording;  // of this thread
//   const std::vector inputs{recording.input(2.0)};
//   const std::vector outputs{exp(tapegrad::Symbol::at(recording, inputs[0]))};
//   const tapegrad::Program program = tapegrad::simplified(recording, inputs, outputs);
//   tapegrad::Recording::current = nullptr;
//
// A replay works on an array of the program's constants, its inputs, and its results:
//
//   std::vector<double> numbers(program.constants);
//   numbers.resize(program.values());
//   numbers[program.constants.size()] = 3.0;  // the first input
//   if (program.replay(numbers.data()) == tapegrad::Program::all_hold)
//     std::printf("%g\n", numbers[program.outputs[0]]);  // exp(3)
//
// Program::all_hold says that all guards hold. Otherwise replay() returns the index of the first
// guard that fails. ReverseSweep and ForwardSweep over Symbols record derivatives, which become
// programs in the same way.
#pragma once

#include "tapegrad/detail/ir/codegen/c_program.hpp"
#include "tapegrad/detail/ir/derivative.hpp"
#include "tapegrad/detail/ir/passes/simplify.hpp"
#include "tapegrad/detail/ir/program.hpp"
#include "tapegrad/detail/ir/program_cache.hpp"
#include "tapegrad/detail/ir/recording.hpp"
#include "tapegrad/detail/ir/sparsity.hpp"
