// tapegrad::Value: a number that remembers how it was computed.
//
//   tapegrad::Value a = 2.0, b = -3.0, c = 10.0;
//   auto y = tanh(a * b + c);
//   y.backward();
//   a.grad();   // dy/da
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/tape.hpp"
#include "tapegrad/detail/ops/functions.hpp"

namespace tapegrad {

namespace detail {

[[noreturn]] inline void refuse_foreign_value() {
  std::fputs(
      "tapegrad: a Value was used in another thread than the one that made it, or in a library "
      "with a tape of its own\n",
      stderr);
  std::abort();
}

}  // namespace detail

#if TAPEGRAD_CHECK_THREADS
// A name of its own for the linker: parts of a program that disagree about checking do not link.
inline namespace checked {
#endif

// One reference to a node of this thread's tape; copies refer to the same node. A Value belongs to
// the thread that made it: where TAPEGRAD_CHECK_THREADS says so, its use in another one ends the
// program with a message.
class Value {
 public:
  using Whole = Value;

  Value() : Value(0.0) {}
  Value(Number auto primal) : node_(tape().leaf(static_cast<double>(primal))) {}
  Value(const Value& other) noexcept : node_(other.node_) {
    if (node_ != no_node) other.home().own(node_);
  }
  Value(Value&& other) noexcept : node_(std::exchange(other.node_, no_node)) {
    if (node_ != no_node) other.check_thread();
  }
  Value& operator=(Value other) noexcept {
    if (node_ != no_node) check_thread();
    std::swap(node_, other.node_);
    return *this;
  }
  ~Value() {
    if (node_ != no_node) home().release(node_);
  }

  // Takes over the caller's ownership of a node.
  static Value adopt(Index node) noexcept { return Value(Adopted{}, node); }

  double data() const noexcept { return home().cell(node_).primal; }
  double grad() const noexcept { return home().link(node_).adjoint; }
  void set_data(double primal) noexcept { home().cell(node_).primal = primal; }
  void set_grad(double adjoint) noexcept { home().link(node_).adjoint = adjoint; }
  Index node() const noexcept {
    check_thread();
    return node_;
  }

  // Afterwards grad() of every Value that this one was computed from has grown by its derivative.
  void backward(double seed = 1.0) const {
    const Value root = *this;  // a backward function may drop the caller's
    tape().backward(root.node_, seed);
  }
  void zero_grad() const { home().zero_adjoints(node_); }

  const std::string& label() const {
    static const std::string no_label;
    const NodeExtra* extra = home().find_extra(node_);
    return extra != nullptr ? extra->label : no_label;
  }
  void set_label(std::string label) { home().need_extra(node_).label = std::move(label); }

  // The tape of this thread, made at first use; it outlives every Value of the thread.
  static Tape& tape() {
    if (tape_ == nullptr) [[unlikely]]
      begin();
    return *tape_;
  }

  // Records an operation of Values and plain numbers.
  template <Op code, class... X>
  static Value apply(const X&... x) {
    if constexpr (sizeof...(X) <= 2) {
      return adopt(tape().record<code>(node_or_number(x)...));
    } else {
      const Argument arguments[] = {argument(x)...};
      return adopt(tape().record<code>(std::span<const Argument>(arguments)));
    }
  }

  static Argument argument(const Value& x) noexcept { return {x.node_, x.data()}; }
  static Argument argument(double x) noexcept { return {no_node, x}; }

  // `x`, just recorded, with a primal that is rounded in another way.
  static Value with_data(Value x, double primal) noexcept {
    x.set_data(primal);
    return x;
  }

 private:
  static Index node_or_number(const Value& x) noexcept { return x.node(); }
  static double node_or_number(double x) noexcept { return x; }

  struct Adopted {};
  Value(Adopted, Index node) noexcept : node_(node) {}

  void check_thread() const noexcept {
#if TAPEGRAD_CHECK_THREADS
    if (home_ != tape_) [[unlikely]]
      detail::refuse_foreign_value();
#endif
  }
  Tape& home() const noexcept {
    check_thread();
    return *tape_;
  }

  // With the thread goes its tape, unless a Value lives on: in a static variable, say.
  struct Keeper {
    ~Keeper() {
      if (tape_ == nullptr || tape_->pool().alive() != 0) return;
      delete std::exchange(tape_, nullptr);
    }
  };
  static void begin() {
    static thread_local Keeper keeper;
    static_cast<void>(&keeper);
    tape_ = new Tape;
  }

  // A raw pointer, constant-initialised: reading it needs no guard.
  TAPEGRAD_ONE_TAPE static inline thread_local constinit Tape* tape_ = nullptr;

  Index node_;
#if TAPEGRAD_CHECK_THREADS
  const Tape* home_ = tape_;
#endif
};

#if TAPEGRAD_CHECK_THREADS
}  // namespace checked
#endif

// One node, however many operands.
inline Value sum(std::span<const Value> xs) {
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size());
  for (const Value& x : xs) arguments.push_back(Value::argument(x));
  return Value::adopt(Value::tape().record<op<"sum">()>(std::span<const Argument>(arguments)));
}

namespace detail {

template <Op code, class Y>
Value of_two_rows(const char* name, std::span<const Value> xs, std::span<const Y> ys) {
  if (xs.size() != ys.size())
    throw std::invalid_argument(std::string(name) + ": sequences of different lengths");
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size() + ys.size());
  for (const Value& x : xs) arguments.push_back(Value::argument(x));
  for (const Y& y : ys) arguments.push_back(Value::argument(y));
  return Value::adopt(Value::tape().record<code>(std::span<const Argument>(arguments)));
}

}  // namespace detail

// Throws std::invalid_argument unless both have the same length.
inline Value dot(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::of_two_rows<op<"dot">()>("dot", xs, ys);
}
inline Value dot(std::span<const Value> xs, std::span<const double> ys) {
  return detail::of_two_rows<op<"dot">()>("dot", xs, ys);
}

// The sum of the squares of the differences. Throws std::invalid_argument unless both have the same
// length.
inline Value squared_distance(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::of_two_rows<op<"squared_distance">()>("squared_distance", xs, ys);
}
inline Value squared_distance(std::span<const Value> xs, std::span<const double> ys) {
  return detail::of_two_rows<op<"squared_distance">()>("squared_distance", xs, ys);
}

}  // namespace tapegrad

template <>
class std::numeric_limits<tapegrad::Value> : public tapegrad::detail::Limits<tapegrad::Value> {};
