// The checks of detect_anomaly() for NaN and infinities.
//
// A number that is not finite is inherited if an operand accounts for it. Otherwise the operation
// has made it, which raises FloatingPointError. All functions are for a thread with the mode on. On
// an anomaly or another error, they return false or throw, with the error set.
#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/derivative.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

// True if the operand `x` accounts for a `result` that is not finite.
inline bool accounts_for(double x, double result) {
  return std::isnan(x) || (std::isinf(result) && std::isinf(x));
}

// Checks the number of a node, and notes the current line as its origin.
bool check_node(Index node);
// Checks result nodes that wrap() has not seen, and the nodes recorded on the way to them.
bool check_nodes(std::span<const Argument> results);
// The same as Tape::backward(), with a check of each gradient.
void checked_backward(Index root, double seed);

// Checks the values recorded from `begin` on that contribute to a result, and notes the current
// line as theirs.
bool check_recorded(OpenRecording& recording, ValueId begin, std::span<const ValueId> results);

// An adjoint or tangent for each value of a range; empty for a value that the sweep did not reach.
using Slopes = std::vector<std::optional<double>>;

// Checks of the adjoints of a reverse sweep that began with `seeds` at `roots`, and of the tangents
// of a forward sweep.
void check_adjoints(const ActiveRange& range, const Slopes& adjoints,
                    std::span<const ValueId> roots, std::span<const double> seeds);
void check_tangents(const ActiveRange& range, const Slopes& tangents,
                    std::span<const ValueId> results);

template <class Number>
void check_sweep(const ActiveRange& range, const ReverseSweep<Number>& sweep,
                 std::span<const ValueId> roots, std::span<const double> seeds) {
  Slopes adjoints(range.end() - range.begin());
  for (ValueId i = range.begin(); i < range.end(); ++i)
    if (sweep.reached(i)) adjoints[i - range.begin()] = Symbol(sweep.adjoint(i)).primal();
  check_adjoints(range, adjoints, roots, seeds);
}

template <class Number>
void check_sweep(const ActiveRange& range, const ForwardSweep<Number>& sweep,
                 std::size_t directions, std::span<const ValueId> results) {
  for (std::size_t d = 0; d < directions; ++d) {
    Slopes tangents(range.end() - range.begin());
    for (ValueId i = range.begin(); i < range.end(); ++i)
      if (sweep.reached(i, d)) tangents[i - range.begin()] = Symbol(sweep.tangent(i, d)).primal();
    check_tangents(range, tangents, results);
  }
}

// A scope for sweeps over the recording `of` that record in `in`. Each value recorded in the scope
// gets the line of the instruction whose derivative it computes. It has no effect unless
// detect_anomaly() is on.
class SweepLines {
 public:
  SweepLines(OpenRecording& in, const OpenRecording& of)
      : in_(in), of_(of), begin_(in.size()), before_(in.causes) {
    if (anomaly_on()) in.causes = &causes_;
  }
  SweepLines(const SweepLines&) = delete;
  SweepLines& operator=(const SweepLines&) = delete;
  ~SweepLines();

 private:
  OpenRecording& in_;
  const OpenRecording& of_;
  ValueId begin_;
  Recording::Causes causes_;
  Recording::Causes* before_;
};

}  // namespace tapegrad::python
