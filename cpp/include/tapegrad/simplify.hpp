// From a recording to a program: constants folded, equal operations merged, unused ones dropped.
//
// What is dropped or merged follows from what comes before alone. Two recordings of one function
// that were told the same up to some guard have the same guards up to there, in the program too.
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

#include "program.hpp"

namespace tapegrad {

namespace detail {

// Operations by number: each once.
class Numbering {
 public:
  Numbering(std::vector<Place>& slots, std::size_t most) : slots_(slots) {
    slots_.assign(std::bit_ceil(2 * most + 2), no_place);
  }

  // The place of the equal operation that is there already, or of this one at the end of `code`.
  Place place_of(std::vector<Instruction>& code, const Instruction& wanted) {
    std::size_t slot = hash(wanted) & (slots_.size() - 1);
    for (; slots_[slot] != no_place; slot = (slot + 1) & (slots_.size() - 1)) {
      const Instruction& other = code[slots_[slot]];
      if (other.op == wanted.op && other.operand[0] == wanted.operand[0] &&
          other.operand[1] == wanted.operand[1] && other.operand[2] == wanted.operand[2])
        return slots_[slot];
    }
    code.push_back(wanted);
    return slots_[slot] = static_cast<Place>(code.size() - 1);
  }

 private:
  static std::size_t hash(const Instruction& instruction) {
    std::uint64_t mix = static_cast<std::uint64_t>(instruction.op);
    for (const Place operand : instruction.operand)
      mix = (mix ^ operand) * 0x9e3779b97f4a7c15u, mix ^= mix >> 29;
    return static_cast<std::size_t>(mix);
  }

  std::vector<Place>& slots_;
};

// Memory of a simplification that the next one uses again: new pages would be a third of its time.
struct Scratch {
  std::vector<Place> slots;
  std::vector<Instruction> code;
  std::vector<Symbol> symbols;
  std::vector<Place> final_place, part, order, position;
  std::vector<std::uint8_t> wanted;

  // What a large recording took is given back.
  void tidy() {
    if (code.capacity() > most) *this = {};
    code.clear();
  }
  static constexpr std::size_t most = std::size_t{1} << 18;
};
inline thread_local Scratch scratch;

// Symbols of the simplified code, whose primals nobody reads.
class Simplifier {
 public:
  Simplifier(const Recording& recording, std::span<const Place> inputs)
      : recording_(recording), numbering_(scratch.slots, recording.size()) {
    symbols_.assign(recording.size(), Symbol());
    code_.reserve(recording.size());
    for (const Place input : inputs) {
      symbols_[input] = {0.0, static_cast<Place>(code_.size())};
      code_.push_back({0.0, Op::leaf, {no_place, no_place, no_place}});
    }
    inputs_ = static_cast<Place>(code_.size());
    for (Place i = 0; i < recording.size(); ++i) symbols_[i] = simplified(i);
  }

  Simplifier(const Simplifier&) = delete;
  Simplifier& operator=(const Simplifier&) = delete;
  ~Simplifier() { scratch.tidy(); }

  Symbol operator[](const Symbol& symbol) const {
    return symbol.is_constant() ? symbol : symbols_[symbol.place()];
  }
  Symbol operator()(Place i) const {
    return i & constant_bit ? Symbol(recording_.primal(i)) : symbols_[i];
  }
  const std::vector<Instruction>& code() const { return code_; }
  Place inputs() const { return inputs_; }
  std::vector<double>& constants() { return constants_; }

  Place in_code(const Symbol& symbol) {
    return symbol.is_constant() ? constant(symbol.primal()) : symbol.place();
  }

 private:
  Symbol simplified(Place i) {
    const Instruction& given = recording_[i];
    if (given.op == Op::leaf) return symbols_[i].is_constant() ? Symbol(given.primal) : symbols_[i];
    // An output of a rule has the value that was computed for it.
    if (given.op == Op::open) {
      const Recording::Group& group = recording_.groups()[given.operand[0]];
      return (*this)(group.values[i - group.first]);
    }
    if (given.op == op<"copy">() || given.op == op<"stop">()) return (*this)(given.operand[0]);
    return rewrites[static_cast<std::size_t>(given.op)](*this, given);
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

  template <Op code>
  Symbol put(const Symbol& x) {
    if (const auto symbol = known<code>(x)) return *symbol;
    if (code == op<"neg">() && is<op<"neg">()>(x)) return operand(x, 0);
    return {0.0, numbering_.place_of(code_, {0.0, code, {x.place(), no_place, no_place}})};
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
    Place a = in_code(x), b = in_code(y);
    if ((code == op<"add">() || code == op<"mul">()) && b < a) std::swap(a, b);
    return {0.0, numbering_.place_of(code_, {0.0, code, {a, b, no_place}})};
  }

  template <Op code>
  Symbol put(const Symbol& x, const Symbol& y, const Symbol& z) {
    if (const auto symbol = known<code>(x, y, z)) return *symbol;
    const Place a = in_code(x), b = in_code(y), c = in_code(z);
    if (code == op<"where">() && b == c) return y;
    return {0.0, numbering_.place_of(code_, {0.0, code, {a, b, c}})};
  }

  // The exponents that math::power treats apart, as the operations it does.
  Symbol power_of(const Symbol& x, const Symbol& exponent) {
    if (exponent.is(2.0)) return put<op<"mul">()>(x, x);
    if (exponent.is(3.0)) return put<op<"mul">()>(put<op<"mul">()>(x, x), x);
    if (exponent.is(-1.0)) return put<op<"div">()>(1.0, x);
    if (exponent.is(-2.0)) return put<op<"div">()>(1.0, put<op<"mul">()>(x, x));
    if (exponent.is(0.5)) return put<op<"sqrt">()>(x);
    if (exponent.is(-0.5)) return put<op<"div">()>(1.0, put<op<"sqrt">()>(x));
    const Place a = in_code(x), b = in_code(exponent);
    return {0.0, numbering_.place_of(code_, {0.0, op<"pow_const">(), {a, b, no_place}})};
  }

  template <Op code>
  bool is(const Symbol& x) const {
    return !x.is_constant() && code_[x.place()].op == code;
  }
  Symbol operand(const Symbol& x, std::size_t k) const {
    const Place place = code_[x.place()].operand[k];
    return place & constant_bit ? Symbol(constants_[place & ~constant_bit]) : Symbol(0.0, place);
  }

  // Most constants are among the last few.
  Place constant(double number) {
    const auto bits = std::bit_cast<std::uint64_t>(number);
    Recent& recent = recent_[(bits * 0x9e3779b97f4a7c15u) >> 60];
    if (recent.place == no_place || recent.bits != bits) recent = {bits, place_of_constant(number)};
    return recent.place;
  }

  Place place_of_constant(double number) {
    const auto [at, is_new] = constant_places_.try_emplace(std::bit_cast<std::uint64_t>(number),
                                                           static_cast<Place>(constants_.size()));
    if (is_new) constants_.push_back(number);
    return at->second | constant_bit;
  }

  static constexpr auto rewrites = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<Symbol (*)(Simplifier&, const Instruction&), sizeof...(K)>{rewrite<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const Recording& recording_;
  std::vector<Instruction>& code_ = scratch.code;
  std::vector<double> constants_;
  std::unordered_map<std::uint64_t, Place> constant_places_;
  struct Recent {
    std::uint64_t bits = 0;
    Place place = no_place;
  };
  std::array<Recent, 16> recent_{};
  Numbering numbering_;
  std::vector<Symbol>& symbols_ = scratch.symbols;
  Place inputs_ = 0;
};

// Instructions that can run now, first come first served, for each operation.
class Ready {
 public:
  explicit Ready(std::size_t most) : next_(most) {}

  void add(Op op, std::uint32_t k) {
    Queue& queue = queues_[static_cast<std::size_t>(op)];
    if (queue.count++ == 0) {
      queue.first = k;
      occupied_.push_back(op);
    } else {
      next_[queue.last] = k;
    }
    queue.last = k;
  }

  // The operation that most of them wait for.
  Op most() const {
    return *std::max_element(occupied_.begin(), occupied_.end(), [&](Op x, Op y) {
      return queues_[static_cast<std::size_t>(x)].count <
             queues_[static_cast<std::size_t>(y)].count;
    });
  }

  bool any(Op op) const { return queues_[static_cast<std::size_t>(op)].count > 0; }

  std::uint32_t take(Op op) {
    Queue& queue = queues_[static_cast<std::size_t>(op)];
    const std::uint32_t k = queue.first;
    if (--queue.count == 0) std::erase(occupied_, op);
    else queue.first = next_[k];
    return k;
  }

 private:
  struct Queue {
    std::uint32_t count = 0, first = 0, last = 0;
  };
  std::array<Queue, ops::count> queues_{};
  std::vector<Op> occupied_;
  std::vector<std::uint32_t> next_;
};

// The order in which instructions run: those of one operation together as far as a window of the
// recorded order allows. Further, results would be read long after they have left the cache.
inline const std::vector<Place>& scheduled(const std::vector<Instruction>& code,
                                           const std::vector<Place>& wanted, std::size_t window) {
  std::vector<Place>& order = scratch.order;
  order.clear();
  order.reserve(wanted.size());
  window = std::min(window, wanted.size());
  Ready ready(window);
  // Of each instruction of a window: how many of its operands are to come, and who waits for it.
  struct Waiting {
    std::uint32_t operands, first_user;
  };
  constexpr std::uint32_t none = ~std::uint32_t{0};
  std::vector<Waiting> waiting(window);
  struct User {
    std::uint32_t user, next;
  };
  std::vector<User> users;
  std::vector<std::uint32_t>& position = scratch.position;
  position.assign(code.size(), none);
  for (std::size_t begin = 0; begin < wanted.size(); begin += window) {
    const std::span<const Place> part(wanted.data() + begin,
                                      std::min(window, wanted.size() - begin));
    users.clear();
    for (std::uint32_t k = 0; k < part.size(); ++k) {
      position[part[k]] = k;
      waiting[k] = {0, none};
      const Instruction& instruction = code[part[k]];
      for (const Place operand : instruction.operand) {
        if (operand >= constant_bit || operand < part[0] || position[operand] == none) continue;
        Waiting& on = waiting[position[operand]];
        ++waiting[k].operands;
        users.push_back({k, on.first_user});
        on.first_user = static_cast<std::uint32_t>(users.size() - 1);
      }
      if (waiting[k].operands == 0) ready.add(instruction.op, k);
    }
    for (std::size_t left = part.size(); left > 0;) {
      const Op op = ready.most();
      for (; ready.any(op); --left) {
        const std::uint32_t k = ready.take(op);
        order.push_back(part[k]);
        for (std::uint32_t u = waiting[k].first_user; u != none; u = users[u].next)
          if (--waiting[users[u].user].operands == 0)
            ready.add(code[part[users[u].user]].op, users[u].user);
      }
    }
  }
  return order;
}

}  // namespace detail

// How far from its recorded place an instruction may move, in instructions.
inline constexpr std::size_t schedule_window = 4096;

// The program that computes `outputs` from `inputs`; other inputs of the recording are constants.
inline Program simplified(const Recording& recording, std::span<const Place> inputs,
                          std::span<const Symbol> outputs, std::size_t window = schedule_window) {
  detail::Simplifier simplifier(recording, inputs);
  const std::vector<Instruction>& code = simplifier.code();
  Program program;
  program.inputs = simplifier.inputs();

  std::vector<Symbol> results;
  for (const Symbol& output : outputs) results.push_back(simplifier[output]);
  for (const Guard& guard : recording.guards()) {
    const Symbol x = simplifier(guard.operand[0]);
    const Symbol y = guard.operand[1] == no_place ? Symbol() : simplifier(guard.operand[1]);
    if (x.is_constant() && y.is_constant()) continue;
    program.guards.push_back(
        {guard.kind,
         guard.source,
         {simplifier.in_code(x), guard.operand[1] == no_place ? no_place : simplifier.in_code(y)},
         guard.outcome});
  }
  std::vector<Place> at;
  for (const Symbol& result : results) at.push_back(simplifier.in_code(result));

  // Those that guards need, then those that results need beside them.
  std::vector<std::uint8_t>& wanted = detail::scratch.wanted;
  wanted.assign(code.size(), 0);
  const auto want = [&](Place i, std::uint8_t mark) {
    if (i != no_place && !(i & constant_bit) && wanted[i] == 0) wanted[i] = mark;
  };
  const auto want_operands = [&](std::uint8_t mark) {
    for (Place i = static_cast<Place>(code.size()); i-- > program.inputs;)
      if (wanted[i] == mark)
        for (const Place operand : code[i].operand) want(operand, mark);
  };
  for (const Guard& guard : program.guards)
    for (const Place operand : guard.operand) want(operand, 1);
  want_operands(1);
  for (const Place i : at) want(i, 2);
  want_operands(2);

  program.constants = std::move(simplifier.constants());
  std::vector<Place>& final_place = detail::scratch.final_place;
  final_place.resize(code.size());
  Place next = static_cast<Place>(program.constants.size());
  for (Place i = 0; i < program.inputs; ++i) final_place[i] = next++;
  const auto moved = [&](Place i) {
    if (i == no_place) return i;
    return i & constant_bit ? i & ~constant_bit : final_place[i];
  };
  for (const std::uint8_t mark : {1, 2}) {
    std::vector<Place>& part = detail::scratch.part;
    part.clear();
    for (Place i = program.inputs; i < code.size(); ++i)
      if (wanted[i] == mark) part.push_back(i);
    program.operands.reserve(program.operands.size() + 2 * part.size());
    bool fresh = true;  // guards end a run
    for (const Place i : detail::scheduled(code, part, window)) {
      if (fresh || program.runs.back().op != code[i].op) program.runs.push_back({code[i].op, 0});
      fresh = false;
      ++program.runs.back().count;
      for (std::size_t k = 0; k < operand_count(code[i].op); ++k)
        program.operands.push_back(moved(code[i].operand[k]));
      final_place[i] = next++;
    }
    if (mark == 1) program.guard_runs = program.runs.size();
  }
  for (Guard& guard : program.guards)
    for (Place& operand : guard.operand) operand = moved(operand);
  // Asked twice, a guard says the same twice.
  std::vector<Guard> distinct;
  for (const Guard& guard : program.guards) {
    const auto is_same = [&](const Guard& other) {
      return other.kind == guard.kind &&
             std::equal(other.operand, other.operand + 2, guard.operand);
    };
    if (distinct.empty() || !is_same(distinct.back())) distinct.push_back(guard);
  }
  program.guards = std::move(distinct);
  for (const Place i : at) program.outputs.push_back(moved(i));
  return program;
}

}  // namespace tapegrad
