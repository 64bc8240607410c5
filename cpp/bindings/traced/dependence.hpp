// Which numbers of a recording depend on the variables of the transforms that are open.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::python {

// The open transforms of a recording, the innermost last, and the inputs of a function that is
// being compiled. Each instruction has a set of bits: one for each transform, and one for these
// inputs, that its number depends on. Sets are computed when first asked for, from the last
// instruction that has one onwards, so that all questions together take one pass.
class Dependence {
 public:
  // `first` to `end` are the variables of a transform; all that was recorded before cannot depend
  // on them. A transform of order two is two that have the same variables.
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

  // What was recorded from `place` on is no longer there.
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

  // While a rule's own function runs, the transforms that are open already do not differentiate it:
  // the rule stands for its derivative. With `once`, that holds of the first derivative alone, and
  // a number that two of them depend on is still differentiated.
  void begin_rule(bool once) { rules_.push_back({once ? free() : depth(), depth()}); }
  void end_rule() noexcept {
    if (!rules_.empty()) rules_.pop_back();
  }

  // Whether a derivative is lost where the number at `place` becomes a constant.
  bool is_differentiated(const Recording& recording, ValueId place) {
    if (depth() == free()) return false;
    const Set set = set_of(recording, place) & ~input_bit & ~below(free());
    const Set once = below(rules_.empty() ? 0 : rules_.back().once);
    return (set & ~once) != 0 || std::popcount(set) > 1;
  }
  // Whether one would be lost if the program that is being recorded were differentiated.
  bool depends_on_inputs(const Recording& recording, ValueId place) {
    return inputs_.first != inputs_.end && (set_of(recording, place) & input_bit) != 0;
  }

 private:
  using Set = std::uint64_t;
  struct Range {
    ValueId first = 0, end = 0;
    bool has(ValueId place) const noexcept { return place >= first && place < end; }
  };
  struct Rule {
    std::size_t free, once;  // the number of transforms that do not count; that count in pairs
  };
  static constexpr Set input_bit = Set{1} << 63;
  static constexpr std::size_t kept_capacity = std::size_t{1} << 20;
  static constexpr std::size_t last_bit = 62;  // shared by all transforms deeper than that

  std::size_t free() const noexcept { return rules_.empty() ? 0 : rules_.back().free; }
  static Set below(std::size_t count) noexcept { return (Set{1} << std::min(count, last_bit)) - 1; }

  // The bits of transforms that have ended do not count, nor where others have their place now:
  // these began after the number was recorded.
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
      for (const ValueId operand : instruction.operand) add(operand);  // no_value has the bit too
    }
    return set;
  }

  std::vector<Range> transforms_;
  std::vector<Rule> rules_;
  std::vector<Set> sets_;
  Range inputs_;
};

}  // namespace tapegrad::python
