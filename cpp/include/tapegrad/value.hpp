// tapegrad::Value: a number that remembers how it was computed.
//
//   tapegrad::Value a = 2.0, b = -3.0, c = 10.0;
//   auto y = tanh(a * b + c);
//   y.backward();
//   a.grad();   // dy/da
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "functions.hpp"
#include "tape.hpp"

namespace tapegrad {

// One reference to a node of this thread's tape; copies refer to the same node. A Value belongs to
// the thread that made it.
class Value {
 public:
  using Whole = Value;

  Value() : Value(0.0) {}
  Value(Number auto primal) : node_(tape().leaf(static_cast<double>(primal))) {}
  Value(const Value& other) noexcept : node_(other.node_) {
    if (node_ != no_node) tape().own(node_);
  }
  Value(Value&& other) noexcept : node_(std::exchange(other.node_, no_node)) {}
  Value& operator=(Value other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Value() {
    if (node_ != no_node) tape().release(node_);
  }

  // Takes over the caller's ownership of a node.
  static Value adopt(Index node) noexcept { return Value(Adopted{}, node); }

  double data() const noexcept { return tape().cell(node_).primal; }
  double grad() const noexcept { return tape().link(node_).adjoint; }
  void set_data(double primal) noexcept { tape().cell(node_).primal = primal; }
  void set_grad(double adjoint) noexcept { tape().link(node_).adjoint = adjoint; }
  Index node() const noexcept { return node_; }

  // Afterwards grad() of every Value that this one was computed from has grown by its derivative.
  void backward(double seed = 1.0) const {
    const Value root = *this;  // a backward function may drop the caller's
    tape().backward(root.node_, seed);
  }
  void zero_grad() const { tape().zero_adjoints(node_); }

  const std::string& label() const {
    static const std::string no_label;
    const Note* note = tape().find_note(node_);
    return note != nullptr ? note->label : no_label;
  }
  void set_label(std::string label) { tape().need_note(node_).label = std::move(label); }

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

 private:
  static Index node_or_number(const Value& x) noexcept { return x.node_; }
  static double node_or_number(double x) noexcept { return x; }

  struct Adopted {};
  Value(Adopted, Index node) noexcept : node_(node) {}

  // With the thread goes its tape, unless a Value lives on: in a static variable, say.
  struct Keeper {
    ~Keeper() {
      if (tape_ == nullptr || tape_->blocks().alive() != 0) return;
      delete std::exchange(tape_, nullptr);
    }
  };
  static void begin() {
    static thread_local Keeper keeper;
    static_cast<void>(&keeper);
    tape_ = new Tape;
  }

  // A raw pointer, constant-initialised: reading it needs no guard.
  static inline thread_local constinit Tape* tape_ = nullptr;

  Index node_;
};

// One node, however many operands.
inline Value sum(std::span<const Value> xs) {
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size());
  for (const Value& x : xs) arguments.push_back(Value::argument(x));
  return Value::adopt(Value::tape().record<op<"sum">()>(std::span<const Argument>(arguments)));
}

namespace detail {

template <class Y>
Value dot(std::span<const Value> xs, std::span<const Y> ys) {
  if (xs.size() != ys.size()) throw std::invalid_argument("dot: sequences of different lengths");
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size() + ys.size());
  for (const Value& x : xs) arguments.push_back(Value::argument(x));
  for (const Y& y : ys) arguments.push_back(Value::argument(y));
  return Value::adopt(Value::tape().record<op<"dot">()>(std::span<const Argument>(arguments)));
}

}  // namespace detail

// Throws std::invalid_argument unless both have the same length.
inline Value dot(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::dot(xs, ys);
}
inline Value dot(std::span<const Value> xs, std::span<const double> ys) {
  return detail::dot(xs, ys);
}

}  // namespace tapegrad
