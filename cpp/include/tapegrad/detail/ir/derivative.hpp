// Derivatives of a stretch of a recording, backwards and forwards.
//
// Over doubles they are numbers; over Symbols they are recorded themselves, and can be
// differentiated again. Griewank & Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, sections
// 3.1 and 3.2.
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

// The instructions of a recording from its inputs to `end`, and which of them vary with these. None
// before `from` counts, the inputs apart.
class Stretch {
 public:
  Stretch(Recording& recording, std::span<const Place> inputs, Place end, Place from = 0)
      : recording_(recording), begin_(end), end_(end) {
    for (const Place input : inputs)
      if (input < begin_) begin_ = input;
    from_ = std::clamp(from, begin_, end_);
    varies_.resize(end_ - begin_);
    for (const Place input : inputs)
      if (input < end_) varies_[input - begin_] = 1;
    for (Place i = from_; i < end_; ++i) {
      if (varies_[i - begin_]) continue;
      const Instruction& instruction = recording_[i];
      bool any = false;
      if (instruction.op == Op::open) {
        for (const Place operand : recording_.groups()[instruction.operand[0]].operands)
          any |= varies(operand);
      } else if (instruction.op != op<"stop">()) {
        for (const Place operand : instruction.operand) any |= varies(operand);
      }
      varies_[i - begin_] = any;
    }
  }

  bool varies(Place i) const noexcept { return i >= begin_ && i < end_ && varies_[i - begin_]; }

  Recording& recording() const noexcept { return recording_; }
  Place begin() const noexcept { return begin_; }
  Place from() const noexcept { return from_; }
  Place end() const noexcept { return end_; }
  // Whether there is a rule among them.
  bool has_rule() const noexcept { return recording_.has_group_since(begin_); }

 private:
  Recording& recording_;
  Place begin_, from_, end_;
  std::vector<std::uint8_t> varies_;
};

namespace detail {

// A number of the recording as the type that a sweep computes with: a constant where that is
// recorded elsewhere.
template <class Number>
Number number_of(const Recording& recording, Place i) {
  if constexpr (std::is_same_v<Number, double>) return recording.primal(i);
  else if (&recording == Recording::current) return Symbol::at(recording, i);
  else return recording.primal(i);
}

template <class Number>
Number as(const Symbol& symbol) {
  if constexpr (std::is_same_v<Number, double>) return symbol.primal();
  else return symbol;
}

// Calls take(operand, partial) for each operand that varies. An instruction's operands are read
// before anything is recorded, which may move it.
template <class Number, Op code, class Take>
void each_partial(const Stretch& stretch, Place i, Take take) {
  constexpr const auto& e = entry<code>;
  constexpr Description what = ops::descriptions[static_cast<std::size_t>(code)];
  const Recording& recording = stretch.recording();
  const Instruction at = recording[i];
  const auto number = [&](std::size_t k) { return number_of<Number>(recording, at.operand[k]); };
  const auto give = [&]<std::size_t k>(std::integral_constant<std::size_t, k>, auto&&... xs) {
    if (!stretch.varies(at.operand[k])) return;
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

template <class Number>
inline constexpr bool records = std::is_same_v<Number, Symbol>;

namespace detail {

template <class Number>
void note_cause(Place i) {
  if constexpr (records<Number>) {
    Recording* const recording = Recording::current;
    if (recording != nullptr && recording->causes != nullptr) [[unlikely]]
      recording->causes->emplace_back(recording->size(), i);
  }
}

}  // namespace detail

// Adjoints, from the results back to the inputs.
template <class Number>
class ReverseSweep {
 public:
  explicit ReverseSweep(const Stretch& stretch)
      : stretch_(stretch), adjoints_(stretch.end() - stretch.begin()) {}

  // The result at `root` counts `weight` times. A weight of 0 counts as none, unless it is said to
  // be present.
  void seed(Place root, const Number& weight) { seed(root, weight, detail::is_present(weight)); }
  void seed(Place root, const Number& weight, bool present) {
    if (stretch_.varies(root)) at(root).add(detail::Maybe<Number>::seed(weight, present));
  }

  void run() {
    for (Place i = stretch_.end(); i-- > stretch_.from();) {
      detail::note_cause<Number>(i);
      const Op op = stretch_.recording()[i].op;
      if (op == Op::open) i = pull_rule(i);
      else if (op != Op::leaf && at(i).there) pulls[static_cast<std::size_t>(op)](*this, i);
    }
  }

  bool reached(Place i) const {
    return stretch_.varies(i) && adjoints_[i - stretch_.begin()].there;
  }
  Number adjoint(Place i) const {
    return reached(i) ? adjoints_[i - stretch_.begin()].number : Number(0.0);
  }

 private:
  detail::Maybe<Number>& at(Place i) { return adjoints_[i - stretch_.begin()]; }

  template <std::size_t K>
  static void pull(ReverseSweep& sweep, Place i) {
    constexpr Op code = static_cast<Op>(K);
    const detail::Maybe<Number> adjoint = sweep.at(i);
    detail::each_partial<Number, code>(sweep.stretch_, i,
                                       [&](std::size_t, Place operand, auto partial) {
                                         sweep.at(operand).add(detail::passed(adjoint, partial()));
                                       });
  }

  // Of all outputs of the rule; returns the place of the first.
  Place pull_rule(Place last) {
    const Recording::Group group =
        stretch_.recording().groups()[stretch_.recording()[last].operand[0]];
    detail::RuleInput<Number> cotangents(group.count);
    for (Place i = (std::max)(group.first, stretch_.begin()); i <= last; ++i)
      cotangents.set(i - group.first, at(i));
    if (cotangents.any()) {
      if constexpr (records<Number>)
        stretch_.recording().mark_pulled(stretch_.recording()[last].operand[0]);
      const std::vector<Symbol> given =
          group.rule->pull(cotangents.numbers, cotangents.present, records<Number>);
      for (std::size_t k = 0; k < given.size(); ++k)
        if (stretch_.varies(group.operands[k]))
          at(group.operands[k]).add(cotangents.result(given[k]));
    }
    return group.first < stretch_.begin() ? stretch_.begin() : group.first;
  }

  static constexpr auto pulls = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<void (*)(ReverseSweep&, Place), sizeof...(K)>{pull<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const Stretch& stretch_;
  std::vector<detail::Maybe<Number>> adjoints_;
};

// Tangents, from the inputs on to the results, in several directions at once.
template <class Number>
class ForwardSweep {
 public:
  // Rules for backward mode alone are passed over where no output depends on them; without
  // outputs, none is.
  ForwardSweep(const Stretch& stretch, std::size_t directions, std::span<const Place> outputs = {})
      : stretch_(stretch),
        directions_(directions),
        tangents_((stretch.end() - stretch.begin()) * directions),
        outputs_(outputs) {}

  // With a weight of 0 the input does not vary in this direction, unless that is said to be
  // present.
  void seed(Place input, std::size_t direction, const Number& weight) {
    seed(input, direction, weight, detail::is_present(weight));
  }
  void seed(Place input, std::size_t direction, const Number& weight, bool present) {
    if (stretch_.varies(input))
      at(input, direction).add(detail::Maybe<Number>::seed(weight, present));
  }

  void run() {
    for (Place i = stretch_.from(); i < stretch_.end(); ++i) {
      detail::note_cause<Number>(i);
      const Op op = stretch_.recording()[i].op;
      if (op == Op::open) i = push_rule(i);
      else if (op != Op::leaf && stretch_.varies(i)) pushes[static_cast<std::size_t>(op)](*this, i);
    }
  }

  bool reached(Place i, std::size_t direction) const {
    return stretch_.varies(i) && tangents_[(i - stretch_.begin()) * directions_ + direction].there;
  }
  Number tangent(Place i, std::size_t direction) const {
    return reached(i, direction)
               ? tangents_[(i - stretch_.begin()) * directions_ + direction].number
               : Number(0.0);
  }

 private:
  detail::Maybe<Number>& at(Place i, std::size_t direction) {
    return tangents_[(i - stretch_.begin()) * directions_ + direction];
  }

  template <std::size_t K>
  static void push(ForwardSweep& sweep, Place i) {
    constexpr Op code = static_cast<Op>(K);
    // A variable that is copied from another one starts with the tangents it was given.
    detail::each_partial<Number, code>(sweep.stretch_, i,
                                       [&](std::size_t, Place operand, auto partial) {
                                         const auto slope = partial();
                                         for (std::size_t d = 0; d < sweep.directions_; ++d)
                                           if (const auto& x = sweep.at(operand, d); x.there)
                                             sweep.at(i, d).add(detail::passed(x, slope));
                                       });
  }

  // Of all outputs of the rule; returns the place of the last.
  Place push_rule(Place first) {
    const Recording::Group group =
        stretch_.recording().groups()[stretch_.recording()[first].operand[0]];
    const Place last = group.first + group.count - 1;
    // Forward over reverse: what the backward rule was applied to is differentiated as computed.
    if (!group.rule->goes_forward() && group.pulled) {
      for (std::uint32_t k = 0; k < group.count && group.first + k < stretch_.end(); ++k)
        for (std::size_t d = 0; d < directions_; ++d)
          if (reached(group.values[k], d)) at(group.first + k, d) = at(group.values[k], d);
      return last;
    }
    if (!group.rule->goes_forward() && !is_needed(group)) return last;
    for (std::size_t d = 0; d < directions_; ++d) {
      detail::RuleInput<Number> tangents(group.operands.size());
      for (std::size_t k = 0; k < group.operands.size(); ++k)
        if (const Place operand = group.operands[k]; stretch_.varies(operand))
          tangents.set(k, at(operand, d));
      if (!tangents.any()) continue;
      const std::vector<Symbol> given =
          group.rule->push(tangents.numbers, tangents.present, records<Number>);
      for (std::size_t k = 0; k < given.size(); ++k)
        if (const Place i = group.first + static_cast<Place>(k); i < stretch_.end())
          at(i, d).add(tangents.result(given[k]));
    }
    return last;
  }

  // Whether an output depends on one of the group's. Found for all instructions when first asked
  // for, as such rules are rare.
  bool is_needed(const Recording::Group& group) {
    if (outputs_.empty()) return true;
    const Recording& recording = stretch_.recording();
    if (needed_.empty()) {
      needed_.resize(stretch_.end() - stretch_.begin());
      const auto need = [&](Place place) {
        if (place >= stretch_.begin() && place < stretch_.end())
          needed_[place - stretch_.begin()] = true;
      };
      for (const Place output : outputs_) need(output);
      for (Place i = stretch_.end(); i-- > stretch_.begin();) {
        if (!needed_[i - stretch_.begin()]) continue;
        const Instruction& at = recording[i];
        if (at.op != Op::open) {
          for (const Place operand : at.operand) need(operand);
          continue;
        }
        const Recording::Group& user = recording.groups()[at.operand[0]];
        for (const Place operand : user.operands) need(operand);
        if (user.pulled) need(user.values[i - user.first]);
      }
    }
    for (Place i = group.first; i < group.first + group.count && i < stretch_.end(); ++i)
      if (i >= stretch_.begin() && needed_[i - stretch_.begin()]) return true;
    return false;
  }

  static constexpr auto pushes = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<void (*)(ForwardSweep&, Place), sizeof...(K)>{push<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const Stretch& stretch_;
  std::size_t directions_;
  std::vector<detail::Maybe<Number>> tangents_;
  std::span<const Place> outputs_;
  std::vector<bool> needed_;
};

}  // namespace tapegrad
