// Derivatives of a range of a recording, in reverse and in forward mode.
//
// Sweeps over doubles compute numbers. Sweeps over Symbols record their operations, so that a
// program can differentiate the derivatives again. Griewank & Walther, "Evaluating Derivatives",
// 2nd ed., SIAM 2008, sections 3.1 and 3.2.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/presence.hpp"
#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad {

// The instructions of a recording from its inputs to `end`, with a flag for each: does it vary with
// the inputs? Instructions before `from`, other than the inputs, do not vary.
class ActiveRange {
 public:
  ActiveRange(Recording& recording, std::span<const ValueId> inputs, ValueId end, ValueId from = 0)
      : recording_(recording), begin_(end), end_(end) {
    for (const ValueId input : inputs)
      if (input < begin_) begin_ = input;
    from_ = std::clamp(from, begin_, end_);
    varies_.resize(end_ - begin_);
    for (const ValueId input : inputs)
      if (input < end_) varies_[input - begin_] = 1;
    for (ValueId i = from_; i < end_; ++i) {
      if (varies_[i - begin_]) continue;
      const Instruction& instruction = recording_[i];
      bool any = false;
      if (instruction.op == Op::custom) {
        for (const ValueId operand : recording_.groups()[instruction.operand[0]].operands)
          any |= varies(operand);
      } else if (instruction.op != op<"stop">()) {
        for (const ValueId operand : instruction.operand) any |= varies(operand);
      }
      varies_[i - begin_] = any;
    }
  }

  bool varies(ValueId i) const noexcept { return i >= begin_ && i < end_ && varies_[i - begin_]; }

  Recording& recording() const noexcept { return recording_; }
  ValueId begin() const noexcept { return begin_; }
  ValueId from() const noexcept { return from_; }
  ValueId end() const noexcept { return end_; }
  // True if the recording has an output of a rule at or after begin().
  bool has_rule() const noexcept { return recording_.has_group_since(begin_); }

 private:
  Recording& recording_;
  ValueId begin_, from_, end_;
  std::vector<std::uint8_t> varies_;
};

namespace detail {

// A number of the recording in the type that a sweep computes with. It is a constant if another
// recording is the current one.
template <class Number>
Number number_of(const Recording& recording, ValueId i) {
  if constexpr (std::is_same_v<Number, double>) return recording.primal(i);
  else if (&recording == Recording::current) return Symbol::at(recording, i);
  else return recording.primal(i);
}

template <class Number>
Number as(const Symbol& symbol) {
  if constexpr (std::is_same_v<Number, double>) return symbol.primal();
  else return symbol;
}

// Calls take(k, operand, partial) for each operand that varies; partial() computes the partial. The
// instruction is copied first, because recording may move it in memory.
template <class Number, Op code, class Take>
void each_partial(const ActiveRange& range, ValueId i, Take take) {
  constexpr const auto& e = entry<code>;
  constexpr Description what = ops::descriptions[static_cast<std::size_t>(code)];
  const Recording& recording = range.recording();
  const Instruction at = recording[i];
  const auto number = [&](std::size_t k) { return number_of<Number>(recording, at.operand[k]); };
  const auto give = [&]<std::size_t k>(std::integral_constant<std::size_t, k>, auto&&... xs) {
    if (!range.varies(at.operand[k])) return;
    using Partial = std::remove_cvref_t<decltype(std::get<k>(e.partials)(xs...))>;
    if constexpr (!std::is_same_v<Partial, Constant<0>>)
      take(k, at.operand[k], [&] { return std::get<k>(e.partials)(xs...); });
  };
  constexpr std::integral_constant<std::size_t, 0> first;
  constexpr std::integral_constant<std::size_t, 1> second;
  constexpr std::integral_constant<std::size_t, 2> third;
  if constexpr (what.arity == 1 && what.constant_last) {
    give(first, number(0), recording.primal(at.operand[1]), number_of<Number>(recording, i));
  } else if constexpr (what.arity == 1) {
    give(first, number(0), number_of<Number>(recording, i));
  } else if constexpr (what.arity == 2) {
    const Number x = number(0), y = number(1), z = number_of<Number>(recording, i);
    give(first, x, y, z);
    give(second, x, y, z);
  } else if constexpr (what.arity == 3) {
    const Number x = number(0), y = number(1), z = number(2), w = number_of<Number>(recording, i);
    give(first, x, y, z, w);
    give(second, x, y, z, w);
    give(third, x, y, z, w);
  }
}

}  // namespace detail

// True if a sweep over this type records its operations.
template <class Number>
inline constexpr bool records = std::is_same_v<Number, Symbol>;

namespace detail {

// Notes that the sweep now records the derivative of instruction `i` (see Recording::causes).
template <class Number>
void note_cause(ValueId i) {
  if constexpr (records<Number>) {
    Recording* const recording = Recording::current;
    if (recording != nullptr && recording->causes != nullptr) [[unlikely]]
      recording->causes->emplace_back(recording->size(), i);
  }
}

}  // namespace detail

// Reverse mode: adjoints, from the results back to the inputs.
template <class Number>
class ReverseSweep {
 public:
  explicit ReverseSweep(const ActiveRange& range)
      : range_(range), adjoints_(range.end() - range.begin()) {}

  // Adds `weight` to the adjoint of the result at `root`. A weight of 0 is absent unless `present`
  // is true.
  void seed(ValueId root, const Number& weight) { seed(root, weight, detail::is_present(weight)); }
  void seed(ValueId root, const Number& weight, bool present) {
    if (range_.varies(root)) at(root).add(detail::Maybe<Number>::seed(weight, present));
  }

  void run() {
    for (ValueId i = range_.end(); i-- > range_.from();) {
      detail::note_cause<Number>(i);
      const Op op = range_.recording()[i].op;
      if (op == Op::custom) i = pull_rule(i);
      else if (op != Op::leaf && at(i).there) pulls[static_cast<std::size_t>(op)](*this, i);
    }
  }

  // True if the sweep has reached the number, so that its adjoint is not absent.
  bool reached(ValueId i) const { return range_.varies(i) && adjoints_[i - range_.begin()].there; }
  Number adjoint(ValueId i) const {
    return reached(i) ? adjoints_[i - range_.begin()].number : Number(0.0);
  }

 private:
  detail::Maybe<Number>& at(ValueId i) { return adjoints_[i - range_.begin()]; }

  template <std::size_t K>
  static void pull(ReverseSweep& sweep, ValueId i) {
    constexpr Op code = static_cast<Op>(K);
    const detail::Maybe<Number> adjoint = sweep.at(i);
    detail::each_partial<Number, code>(sweep.range_, i,
                                       [&](std::size_t, ValueId operand, auto partial) {
                                         sweep.at(operand).add(detail::passed(adjoint, partial()));
                                       });
  }

  // Applies the rule of a group of outputs, of which `last` is the last. Returns the first output,
  // or the begin of the range if the group starts earlier.
  ValueId pull_rule(ValueId last) {
    const Recording::RuleCall group =
        range_.recording().groups()[range_.recording()[last].operand[0]];
    detail::RuleInput<Number> cotangents(group.count);
    for (ValueId i = (std::max)(group.first, range_.begin()); i <= last; ++i)
      cotangents.set(i - group.first, at(i));
    if (cotangents.any()) {
      if constexpr (records<Number>)
        range_.recording().mark_pulled(range_.recording()[last].operand[0]);
      const std::vector<Symbol> given =
          group.rule->pull(cotangents.numbers, cotangents.present, records<Number>);
      for (std::size_t k = 0; k < given.size(); ++k)
        if (range_.varies(group.operands[k]))
          at(group.operands[k]).add(cotangents.result(given[k]));
    }
    return group.first < range_.begin() ? range_.begin() : group.first;
  }

  static constexpr auto pulls = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<void (*)(ReverseSweep&, ValueId), sizeof...(K)>{pull<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const ActiveRange& range_;
  std::vector<detail::Maybe<Number>> adjoints_;
};

// Forward mode: tangents, from the inputs to the results, in several directions at once.
template <class Number>
class ForwardSweep {
 public:
  // The sweep skips rules that have no forward mode if no number in `outputs` depends on them. An
  // empty `outputs` skips none.
  ForwardSweep(const ActiveRange& range, std::size_t directions,
               std::span<const ValueId> outputs = {})
      : range_(range),
        directions_(directions),
        tangents_((range.end() - range.begin()) * directions),
        outputs_(outputs) {}

  // Adds `weight` to the tangent of the input in this direction. A weight of 0 is absent unless
  // `present` is true.
  void seed(ValueId input, std::size_t direction, const Number& weight) {
    seed(input, direction, weight, detail::is_present(weight));
  }
  void seed(ValueId input, std::size_t direction, const Number& weight, bool present) {
    if (range_.varies(input))
      at(input, direction).add(detail::Maybe<Number>::seed(weight, present));
  }

  void run() {
    for (ValueId i = range_.from(); i < range_.end(); ++i) {
      detail::note_cause<Number>(i);
      const Op op = range_.recording()[i].op;
      if (op == Op::custom) i = push_rule(i);
      else if (op != Op::leaf && range_.varies(i)) pushes[static_cast<std::size_t>(op)](*this, i);
    }
  }

  // True if the number varies in this direction, so that its tangent is not absent.
  bool reached(ValueId i, std::size_t direction) const {
    return range_.varies(i) && tangents_[(i - range_.begin()) * directions_ + direction].there;
  }
  Number tangent(ValueId i, std::size_t direction) const {
    return reached(i, direction) ? tangents_[(i - range_.begin()) * directions_ + direction].number
                                 : Number(0.0);
  }

 private:
  detail::Maybe<Number>& at(ValueId i, std::size_t direction) {
    return tangents_[(i - range_.begin()) * directions_ + direction];
  }

  template <std::size_t K>
  static void push(ForwardSweep& sweep, ValueId i) {
    constexpr Op code = static_cast<Op>(K);
    // An input that is itself a copy of another variable already has the tangents of its seed.
    detail::each_partial<Number, code>(sweep.range_, i,
                                       [&](std::size_t, ValueId operand, auto partial) {
                                         const auto slope = partial();
                                         for (std::size_t d = 0; d < sweep.directions_; ++d)
                                           if (const auto& x = sweep.at(operand, d); x.there)
                                             sweep.at(i, d).add(detail::passed(x, slope));
                                       });
  }

  // Applies the rule of a group of outputs, which begins at `first`. Returns the last output.
  ValueId push_rule(ValueId first) {
    const Recording::RuleCall group =
        range_.recording().groups()[range_.recording()[first].operand[0]];
    const ValueId last = group.first + group.count - 1;
    // Forward over reverse: a recorded sweep has applied the backward rule to the outputs, so their
    // tangents are those of the values that they copy.
    if (!group.rule->goes_forward() && group.pulled) {
      for (std::uint32_t k = 0; k < group.count && group.first + k < range_.end(); ++k)
        for (std::size_t d = 0; d < directions_; ++d)
          if (reached(group.values[k], d)) at(group.first + k, d) = at(group.values[k], d);
      return last;
    }
    if (!group.rule->goes_forward() && !is_needed(group)) return last;
    for (std::size_t d = 0; d < directions_; ++d) {
      detail::RuleInput<Number> tangents(group.operands.size());
      for (std::size_t k = 0; k < group.operands.size(); ++k)
        if (const ValueId operand = group.operands[k]; range_.varies(operand))
          tangents.set(k, at(operand, d));
      if (!tangents.any()) continue;
      const std::vector<Symbol> given =
          group.rule->push(tangents.numbers, tangents.present, records<Number>);
      for (std::size_t k = 0; k < given.size(); ++k)
        if (const ValueId i = group.first + static_cast<ValueId>(k); i < range_.end())
          at(i, d).add(tangents.result(given[k]));
    }
    return last;
  }

  // True if an output depends on one of the group's. Rules without forward mode are rare, so the
  // first call finds the answer for all instructions.
  bool is_needed(const Recording::RuleCall& group) {
    if (outputs_.empty()) return true;
    const Recording& recording = range_.recording();
    if (needed_.empty()) {
      needed_.resize(range_.end() - range_.begin());
      const auto need = [&](ValueId place) {
        if (place >= range_.begin() && place < range_.end()) needed_[place - range_.begin()] = true;
      };
      for (const ValueId output : outputs_) need(output);
      for (ValueId i = range_.end(); i-- > range_.begin();) {
        if (!needed_[i - range_.begin()]) continue;
        const Instruction& at = recording[i];
        if (at.op != Op::custom) {
          for (const ValueId operand : at.operand) need(operand);
          continue;
        }
        const Recording::RuleCall& user = recording.groups()[at.operand[0]];
        for (const ValueId operand : user.operands) need(operand);
        if (user.pulled) need(user.values[i - user.first]);
      }
    }
    for (ValueId i = group.first; i < group.first + group.count && i < range_.end(); ++i)
      if (i >= range_.begin() && needed_[i - range_.begin()]) return true;
    return false;
  }

  static constexpr auto pushes = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<void (*)(ForwardSweep&, ValueId), sizeof...(K)>{push<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const ActiveRange& range_;
  std::size_t directions_;
  std::vector<detail::Maybe<Number>> tangents_;
  std::span<const ValueId> outputs_;
  std::vector<bool> needed_;
};

}  // namespace tapegrad
