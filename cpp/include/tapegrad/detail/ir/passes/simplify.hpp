// From a recording to a program: constant folding, value numbering (CSE) and removal of dead code.
//
// The passes decide from earlier instructions alone. If two recordings of one function agree on all
// outcomes up to some guard, their programs have the same guards up to it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/passes/schedule.hpp"

namespace tapegrad {

namespace detail {

// Value numbering: a hash table that holds each distinct operation once. A slot has the index of
// the operation and, in the bits above it, part of the hash, so that most unequal operations are
// told apart without a look at the code.
class ValueNumbering {
 public:
  ValueNumbering(std::vector<std::uint32_t>& slots, std::size_t most)
      : place_mask_(static_cast<std::uint32_t>(std::bit_ceil(std::uint64_t{most} + 2) - 1)) {
    slots.assign(std::bit_ceil(2 * most + 2), empty);
    slots_ = slots;
    shift_ = std::countl_zero(std::uint64_t{slots.size() - 1});
  }

  // Returns the index in `code` of an equal operation. If there is none, it appends `wanted`.
  ValueId place_of(std::vector<Computation>& code, const Computation& wanted) {
    const std::uint64_t mix = hash(wanted);
    const std::uint32_t tag = static_cast<std::uint32_t>(mix) & ~place_mask_;
    std::size_t k = mix >> shift_;
    for (; slots_[k] != empty; k = (k + 1) & (slots_.size() - 1)) {
      const ValueId place = slots_[k] & place_mask_;
      if ((slots_[k] & ~place_mask_) == tag && code[place] == wanted) return place;
    }
    const auto place = static_cast<ValueId>(code.size());
    code.push_back(wanted);
    slots_[k] = tag | place;
    return place;
  }

 private:
  static constexpr std::uint32_t empty = ~std::uint32_t{0};  // no index is place_mask_

  // The products do not depend on each other. The top bits depend on all of them.
  static std::uint64_t hash(const Computation& operation) {
    const std::uint64_t sum = static_cast<std::uint64_t>(operation.op) * 0x9e3779b97f4a7c15u +
                              operation.operand[0] * 0xc2b2ae3d27d4eb4fu +
                              operation.operand[1] * 0x165667b19e3779f9u +
                              operation.operand[2] * 0xd6e8feb86659fd93u;
    return (sum ^ sum >> 32) * 0x9e3779b97f4a7c15u;
  }

  std::uint32_t place_mask_;
  int shift_;  // leaves the bits that number a slot
  std::span<std::uint32_t> slots_;
};

// Folds constants and merges equal operations. It works on Symbols that refer to the simplified
// code; their primals have no meaning.
class Simplifier {
 public:
  Simplifier(const Recording& recording, std::span<const ValueId> inputs)
      : recording_(recording), numbering_(scratch.slots, recording.size()) {
    scratch.places.assign(recording.size(), no_value);
    places_ = scratch.places;
    code_.reserve(recording.size());
    for (const ValueId input : inputs) {
      places_[input] = static_cast<ValueId>(code_.size());
      code_.push_back({Op::leaf, {no_value, no_value, no_value}});
    }
    inputs_ = static_cast<ValueId>(code_.size());
    for (ValueId i = 0; i < recording.size(); ++i)
      if (places_[i] == no_value) places_[i] = place_of(simplified(recording[i], i));
  }

  Simplifier(const Simplifier&) = delete;
  Simplifier& operator=(const Simplifier&) = delete;
  ~Simplifier() { scratch.tidy(); }

  // The simplified form of a number of the recording.
  Symbol operator[](const Symbol& symbol) const {
    return symbol.is_constant() ? symbol : (*this)(symbol.place());
  }
  Symbol operator()(ValueId i) const {
    if (i & constant_tag) return recording_.primal(i);
    const ValueId place = places_[i];
    return place & constant_tag ? Symbol(folded_[place & ~constant_tag]) : Symbol(0.0, place);
  }
  std::span<const Computation> code() const { return code_; }
  ValueId inputs() const { return inputs_; }
  std::vector<double>& constants() { return constants_; }

  // The identifier of a number as an operand in code().
  ValueId in_code(const Symbol& symbol) {
    return symbol.is_constant() ? constant(symbol.primal()) : symbol.place();
  }

 private:
  Symbol simplified(const Instruction& given, ValueId i) {
    if (given.op == Op::leaf) return given.primal;
    // An output of a rule is the number that the rule's function computed for it.
    if (given.op == Op::custom) {
      const Recording::RuleCall& group = recording_.groups()[given.operand[0]];
      return (*this)(group.values[i - group.first]);
    }
    if (given.op == op<"copy">() || given.op == op<"stop">()) return (*this)(given.operand[0]);
    return rewrites[static_cast<std::size_t>(given.op)](*this, given);
  }

  // The identifier for places_. It keeps each folded constant apart, since few become operands.
  ValueId place_of(const Symbol& symbol) {
    if (!symbol.is_constant()) return symbol.place();
    folded_.push_back(symbol.primal());
    return static_cast<ValueId>(folded_.size() - 1) | constant_tag;
  }

  template <std::size_t K>
  static Symbol rewrite(Simplifier& self, const Instruction& given) {
    constexpr Op code = static_cast<Op>(K);
    constexpr std::size_t count = operand_count(code);
    if constexpr (count == 1) return self.put<code>(self(given.operand[0]));
    else if constexpr (count == 2)
      return self.put<code>(self(given.operand[0]), self(given.operand[1]));
    else if constexpr (count == 3)
      return self.put<code>(self(given.operand[0]), self(given.operand[1]), self(given.operand[2]));
    else return {};
  }

  // The put() functions simplify one operation, append it unless an equal one exists, and return
  // its result.
  template <Op code>
  Symbol put(const Symbol& x) {
    if (const auto symbol = known<code>(x)) return *symbol;
    if (code == op<"neg">() && is<op<"neg">()>(x)) return operand(x, 0);
    return {0.0, numbering_.place_of(code_, {code, {x.place(), no_value, no_value}})};
  }

  template <Op code>
  Symbol put(const Symbol& x, const Symbol& y) {
    if (const auto symbol = known<code>(x, y)) return *symbol;
    if constexpr (code == op<"pow_const">()) return power_of(x, y);
    if constexpr (code == op<"mul">()) {
      if (x.is(-1.0)) return put<op<"neg">()>(y);
      if (y.is(-1.0)) return put<op<"neg">()>(x);
    } else if constexpr (code == op<"add">()) {
      if (is<op<"neg">()>(y)) return put<op<"sub">()>(x, operand(y, 0));
      if (is<op<"neg">()>(x)) return put<op<"sub">()>(y, operand(x, 0));
    } else if constexpr (code == op<"sub">()) {
      if (is<op<"neg">()>(y)) return put<op<"add">()>(x, operand(y, 0));
    }
    ValueId a = in_code(x), b = in_code(y);
    if ((code == op<"add">() || code == op<"mul">()) && b < a) std::swap(a, b);
    return {0.0, numbering_.place_of(code_, {code, {a, b, no_value}})};
  }

  template <Op code>
  Symbol put(const Symbol& x, const Symbol& y, const Symbol& z) {
    if (const auto symbol = known<code>(x, y, z)) return *symbol;
    if constexpr (code == op<"scaled">() || code == op<"selected">())
      if (x.is_constant()) return x.primal() != 0.0 ? put<op<"mul">()>(y, z) : Symbol(0.0);
    const ValueId a = in_code(x), b = in_code(y), c = in_code(z);
    if (code == op<"where">() && b == c) return y;
    return {0.0, numbering_.place_of(code_, {code, {a, b, c}})};
  }

  // Replaces exponents that math::power treats specially by the operations that it performs, except
  // -2, for which it compares the size of the base.
  Symbol power_of(const Symbol& x, const Symbol& exponent) {
    if (exponent.is(2.0)) return put<op<"mul">()>(x, x);
    if (exponent.is(3.0)) return put<op<"mul">()>(put<op<"mul">()>(x, x), x);
    if (exponent.is(-1.0)) return put<op<"div">()>(1.0, x);
    if (exponent.is(0.5)) return put<op<"sqrt">()>(x);
    if (exponent.is(-0.5)) return put<op<"div">()>(1.0, put<op<"sqrt">()>(x));
    const ValueId a = in_code(x), b = in_code(exponent);
    return {0.0, numbering_.place_of(code_, {op<"pow_const">(), {a, b, no_value}})};
  }

  template <Op code>
  bool is(const Symbol& x) const {
    return !x.is_constant() && code_[x.place()].op == code;
  }
  Symbol operand(const Symbol& x, std::size_t k) const {
    const ValueId place = code_[x.place()].operand[k];
    return place & constant_tag ? Symbol(constants_[place & ~constant_tag]) : Symbol(0.0, place);
  }

  // Returns the identifier of a constant. Most constants equal one of the last few, so a small
  // cache precedes the map.
  ValueId constant(double number) {
    const auto bits = std::bit_cast<std::uint64_t>(number);
    Recent& recent = recent_[(bits * 0x9e3779b97f4a7c15u) >> 60];
    if (recent.place == no_value || recent.bits != bits) recent = {bits, place_of_constant(number)};
    return recent.place;
  }

  ValueId place_of_constant(double number) {
    const auto [at, is_new] = constant_places_.try_emplace(std::bit_cast<std::uint64_t>(number),
                                                           static_cast<ValueId>(constants_.size()));
    if (is_new) constants_.push_back(number);
    return at->second | constant_tag;
  }

  static constexpr auto rewrites = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<Symbol (*)(Simplifier&, const Instruction&), sizeof...(K)>{rewrite<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const Recording& recording_;
  std::vector<Computation>& code_ = scratch.code;
  std::vector<double> constants_;
  std::unordered_map<std::uint64_t, ValueId> constant_places_;
  // A constant that was an operand lately, by its bits.
  struct Recent {
    std::uint64_t bits = 0;
    ValueId place = no_value;
  };
  std::array<Recent, 16> recent_{};
  ValueNumbering numbering_;
  std::span<ValueId> places_;
  std::vector<double>& folded_ = scratch.folded;
  ValueId inputs_ = 0;
};

}  // namespace detail

// The size of the window within which the schedule may reorder instructions.
inline constexpr std::size_t schedule_window = 4096;

// Returns the program that computes `outputs` from `inputs`. Other inputs of the recording become
// constants.
inline Program simplified(const Recording& recording, std::span<const ValueId> inputs,
                          std::span<const Symbol> outputs, std::size_t window = schedule_window) {
  detail::Simplifier simplifier(recording, inputs);
  const std::span<const detail::Computation> code = simplifier.code();
  Program program;
  program.inputs = simplifier.inputs();

  std::vector<Symbol> results;
  for (const Symbol& output : outputs) results.push_back(simplifier[output]);
  for (const Guard& guard : recording.guards()) {
    const Symbol x = simplifier(guard.operand[0]);
    const Symbol y = guard.operand[1] == no_value ? Symbol() : simplifier(guard.operand[1]);
    if (x.is_constant() && y.is_constant()) continue;
    program.guards.push_back(
        {guard.kind,
         guard.source,
         {simplifier.in_code(x), guard.operand[1] == no_value ? no_value : simplifier.in_code(y)},
         guard.outcome});
  }
  std::vector<ValueId> at;
  for (const Symbol& result : results) at.push_back(simplifier.in_code(result));

  // Liveness: mark 1 for the operations that guards need, 2 for those that only results need.
  detail::scratch.wanted.assign(code.size(), 0);
  const std::span<std::uint8_t> wanted = detail::scratch.wanted;
  const auto want = [&](ValueId i, std::uint8_t mark) {
    if (i != no_value && !(i & constant_tag) && wanted[i] == 0) wanted[i] = mark;
  };
  const auto want_operands = [&](std::uint8_t mark) {
    for (ValueId i = static_cast<ValueId>(code.size()); i-- > program.inputs;)
      if (wanted[i] == mark)
        for (const ValueId operand : code[i].operand) want(operand, mark);
  };
  for (const Guard& guard : program.guards)
    for (const ValueId operand : guard.operand) want(operand, 1);
  if (!program.guards.empty()) want_operands(1);
  for (const ValueId i : at) want(i, 2);
  want_operands(2);

  program.constants = std::move(simplifier.constants());
  detail::scratch.final_place.resize(code.size());
  const std::span<ValueId> final_place = detail::scratch.final_place;
  ValueId next = static_cast<ValueId>(program.constants.size());
  for (ValueId i = 0; i < program.inputs; ++i) final_place[i] = next++;
  const auto moved = [&](ValueId i) {
    if (i == no_value) return i;
    return i & constant_tag ? i & ~constant_tag : final_place[i];
  };
  std::size_t operands = 0;
  for (ValueId i = program.inputs; i < code.size(); ++i)
    if (wanted[i] != 0) operands += operand_count(code[i].op);
  program.operands.resize(operands);
  ValueId* operand = program.operands.data();
  detail::Runs runs;
  std::vector<ValueId>& part = detail::scratch.part;
  for (const std::uint8_t mark : {1, 2}) {
    if (mark == 1 && program.guards.empty()) continue;
    part.clear();
    for (ValueId i = program.inputs; i < code.size(); ++i)
      if (wanted[i] == mark) part.push_back(i);
    runs.begin_part();
    for (const ValueId i : detail::scheduled(code, part, window)) {
      int carry = 0;
      for (std::size_t k = 0, count = operand_count(code[i].op); k < count; ++k, ++operand) {
        *operand = moved(code[i].operand[k]);
        if (k < 2 && *operand + 1 == next) carry |= 1 << k;
      }
      runs.add(code[i].op, static_cast<Program::Carry>(carry));
      final_place[i] = next++;
    }
    if (mark == 1) program.guard_runs = runs.all().size();
  }
  program.runs.assign(runs.all().begin(), runs.all().end());
  for (Guard& guard : program.guards)
    for (ValueId& operand : guard.operand) operand = moved(operand);
  // A guard that repeats the one before it has the same outcome.
  std::vector<Guard> distinct;
  for (const Guard& guard : program.guards) {
    const auto is_same = [&](const Guard& other) {
      return other.kind == guard.kind &&
             std::equal(other.operand, other.operand + 2, guard.operand);
    };
    if (distinct.empty() || !is_same(distinct.back())) distinct.push_back(guard);
  }
  program.guards = std::move(distinct);
  for (const ValueId i : at) program.outputs.push_back(moved(i));
  return program;
}

}  // namespace tapegrad
