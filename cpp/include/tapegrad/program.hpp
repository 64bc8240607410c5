// Compiled programs: a function recorded once, differentiated, simplified, replayed on other inputs
// and written as C.
//
//   tapegrad::Recording recording;
//   tapegrad::Recording::current = &recording;  // of this thread
//   const std::vector inputs{recording.input(2.0)};
//   const std::vector outputs{exp(tapegrad::Symbol::at(recording, inputs[0]))};
//   const tapegrad::Program program = tapegrad::simplified(recording, inputs, outputs);
//   tapegrad::Recording::current = nullptr;
//
// ReverseSweep and ForwardSweep over Symbols record derivatives, which are programs too.
#pragma once

#include "tapegrad/detail/ir/codegen/c_program.hpp"
#include "tapegrad/detail/ir/derivative.hpp"
#include "tapegrad/detail/ir/passes/simplify.hpp"
#include "tapegrad/detail/ir/program.hpp"
#include "tapegrad/detail/ir/program_cache.hpp"
#include "tapegrad/detail/ir/recording.hpp"
#include "tapegrad/detail/ir/sparsity.hpp"
