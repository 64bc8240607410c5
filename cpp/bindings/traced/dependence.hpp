// Dependence of recorded numbers on the variables of the open transforms.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::python {

// The open transforms of a recording, innermost last, and the inputs of the function that is being
// compiled. Each instruction has a set of bits, one for each transform and one for the inputs: a
// bit is set if the number depends on these variables. The sets are computed on demand, from the
// last instruction with a set onwards, so that all queries together take one pass.
class Dependence {
 public:
  // Opens a transform whose variables are `first` to `end`. Nothing recorded before can depend on
  // them. A transform of order two counts as two with the same variables.
  void open(ValueId first, ValueId end) {
    forget_from(first);
    transforms_.push_back({first, end});
  }
  void close(std::size_t count) noexcept {
    for (; count > 0 && !transforms_.empty(); --count) transforms_.pop_back();
  }
  void set_inputs(ValueId first, ValueId end) {
    forget_from(first);
    inputs_ = {first, end};
  }
  std::size_t depth() const noexcept { return transforms_.size(); }

  // Forgets the sets of all instructions from `place` on, which the recording has removed.
  void forget_from(ValueId place) noexcept {
    if (sets_.size() > place) sets_.resize(place);
  }
  void clear() noexcept {
    transforms_.clear();
    rules_.clear();
    sets_.clear();
    if (sets_.capacity() > kept_capacity) sets_ = {};
    inputs_ = {};
  }

  // Begins the function of a rule. The transforms that are open now do not differentiate it, since
  // the rule defines its derivative. With `once`, this applies to the first derivative only: a
  // number that depends on two of these transforms is still differentiated.
  void begin_rule(bool once) { rules_.push_back({once ? free() : depth(), depth()}); }
  void end_rule() noexcept {
    if (!rules_.empty()) rules_.pop_back();
  }

  // True if a derivative is lost if the number at `place` becomes a constant.
  bool is_differentiated(const Recording& recording, ValueId place) {
    if (depth() == free()) return false;
    const Set set = set_of(recording, place) & ~input_bit & ~below(free());
    const Set once = below(rules_.empty() ? 0 : rules_.back().once);
    return (set & ~once) != 0 || std::popcount(set) > 1;
  }
  // True if a derivative of the program that is being recorded would be lost if the number at
  // `place` became a constant.
  bool depends_on_inputs(const Recording& recording, ValueId place) {
    return inputs_.first != inputs_.end && (set_of(recording, place) & input_bit) != 0;
  }

 private:
  using Set = std::uint64_t;
  // A range of instructions, which are the variables of a transform or the inputs.
  struct Range {
    ValueId first = 0, end = 0;
    bool has(ValueId place) const noexcept { return place >= first && place < end; }
  };
  // The transforms that the function of a rule excludes, counted from the outermost.
  struct RuleScope {
    std::size_t free, once;  // those that do not count; those that count in pairs only
  };
  static constexpr Set input_bit = Set{1} << 63;
  static constexpr std::size_t kept_capacity = std::size_t{1} << 20;
  static constexpr std::size_t last_bit = 62;  // shared by all deeper transforms

  std::size_t free() const noexcept { return rules_.empty() ? 0 : rules_.back().free; }
  static Set below(std::size_t count) noexcept { return (Set{1} << std::min(count, last_bit)) - 1; }

  // The part of a set that is still valid. A bit counts only if its transform is open and began
  // before the number was recorded; another transform may have had that bit before.
  Set now(ValueId place, Set set) const noexcept {
    const std::size_t known = std::min(depth(), last_bit + 1);
    Set open = input_bit;
    for (std::size_t k = 0; k < known && transforms_[k].first <= place; ++k) open |= Set{1} << k;
    return set & open;
  }

  Set set_of(const Recording& recording, ValueId place) {
    if (place & constant_tag) return 0;
    for (ValueId i = static_cast<ValueId>(sets_.size()); i <= place; ++i)
      sets_.push_back(computed(recording, i));
    return now(place, sets_[place]);
  }

  Set computed(const Recording& recording, ValueId i) const {
    Set set = inputs_.has(i) ? input_bit : 0;
    for (std::size_t k = 0; k < depth(); ++k)
      if (transforms_[k].has(i)) set |= Set{1} << std::min(k, last_bit);
    const auto add = [&](ValueId operand) {
      if (!(operand & constant_tag)) set |= now(operand, sets_[operand]);
    };
    const Instruction& instruction = recording[i];
    if (instruction.op == Op::custom) {
      for (const ValueId operand : recording.groups()[instruction.operand[0]].operands)
        add(operand);
    } else if (instruction.op != op<"stop">()) {
      for (const ValueId operand : instruction.operand) add(operand);  // no_value has the tag too
    }
    return set;
  }

  std::vector<Range> transforms_;
  std::vector<RuleScope> rules_;
  std::vector<Set> sets_;
  Range inputs_;
};

}  // namespace tapegrad::python
