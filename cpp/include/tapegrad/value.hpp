// tapegrad::Value, a reference to a node of a dynamic computation graph, with reverse-mode
// differentiation.
#pragma once

#include <concepts>
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
// A namespace that changes the linker names. The check makes a Value larger, so the linker must
// reject translation units that disagree about TAPEGRAD_CHECK_THREADS.
inline namespace checked {
#endif

/// A counted reference to a node of this thread's tape. A node holds a number (its primal), the
/// operation and operands that computed it, and an adjoint.
///
///     tapegrad::Value a = 2.0, b = -3.0, c = 10.0;
///     tapegrad::Value y = tanh(a * b + c);
///     y.backward();
///     double slope = a.grad();  // dy/da
///
/// A copy refers to the same node. The node lives until the last Value that refers to it and the
/// last node that has it as an operand are gone. A moved-from Value refers to no node: copy it,
/// assign to it or destroy it, but call no other member.
///
/// Functions that record a node throw ArenaFull when the tape has no more room.
///
/// A Value belongs to the thread that created it. Its use in another thread is an error. If
/// TAPEGRAD_CHECK_THREADS is 1, as in debug builds, the use ends the program with a message;
/// otherwise nothing checks it.
class Value {
 public:
  /// The type that stores a result: Value itself. For an expression of Active numbers it is Active.
  using Whole = Value;

  /// Creates a leaf with the primal 0.
  Value() : Value(0.0) {}
  /// Creates a leaf: a variable with this primal and the adjoint 0.
  Value(Number auto primal) : node_(tape().leaf(static_cast<double>(primal))) {}
  /// Refers to the same node as `other`.
  Value(const Value& other) noexcept : node_(other.node_) {
    if (node_ != no_node) other.home().own(node_);
  }
  /// Takes over the node of `other`, which then refers to none.
  Value(Value&& other) noexcept : node_(std::exchange(other.node_, no_node)) {
    if (node_ != no_node) other.check_thread();
  }
  /// Drops the reference to the old node and refers to the node of `other` instead. The old node
  /// keeps its primal.
  Value& operator=(Value other) noexcept {
    if (node_ != no_node) check_thread();
    std::swap(node_, other.node_);
    return *this;
  }
  /// Drops the reference. A node without owners is destroyed at once, with the operands that it was
  /// the last owner of.
  ~Value() {
    if (node_ != no_node) home().release(node_);
  }

  /// Returns a Value that takes over the caller's reference to `node`, a node of this thread's
  /// tape.
  static Value adopt(Index node) noexcept { return Value(Adopted{}, node); }

  /// Returns the primal, the node's number.
  double data() const noexcept { return home().cell(node_).primal; }
  /// Returns the adjoint: the derivative that backward() has accumulated in this node.
  double grad() const noexcept { return home().link(node_).adjoint; }
  /// Replaces the primal. Nodes that were computed from this one keep their primals and partial
  /// derivatives.
  void set_data(double primal) noexcept { home().cell(node_).primal = primal; }
  /// Replaces the adjoint.
  void set_grad(double adjoint) noexcept { home().link(node_).adjoint = adjoint; }
  /// Returns the node's index on the tape. The index is valid while the node lives.
  Index node() const noexcept {
    check_thread();
    return node_;
  }

  /// Computes derivatives of this number by a reverse sweep. The sweep sets the adjoint of this
  /// node to `seed` and adds to the adjoint of each node that this one was computed from. If those
  /// adjoints were 0, each is afterwards `seed` times the derivative of this number by that node.
  ///
  /// The sweep clears no adjoint. Intermediate nodes pass on the adjoint that an earlier sweep left
  /// in them, as in micrograd: call zero_grad() before a second sweep over the same nodes. With a
  /// seed of 0 the sweep only sets this node's adjoint to 0. Throws std::bad_alloc if the sweep
  /// needs memory that the system refuses.
  void backward(double seed = 1.0) const {
    const Value root = *this;  // a backward function may drop the caller's reference
    tape().backward(root.node_, seed);
  }
  /// Sets the adjoints of this node and of every node that it was computed from to 0.
  void zero_grad() const { home().zero_adjoints(node_); }

  /// Returns the node's label, empty by default. The reference is valid until the label changes or
  /// the node is destroyed.
  const std::string& label() const {
    static const std::string no_label;
    const NodeExtra* extra = home().find_extra(node_);
    return extra != nullptr ? extra->label : no_label;
  }
  /// Names the node. Every Value that refers to it has the same label.
  void set_label(std::string label) { home().need_extra(node_).label = std::move(label); }

  /// Returns the tape of this thread, which the first call creates. The tape outlives every Value
  /// of the thread. The first call throws ArenaFull if the system refuses the address space.
  static Tape& tape() {
    if (tape_ == nullptr) [[unlikely]]
      begin();
    return *tape_;
  }

  /// Records the operation `code` and returns its result. Each argument is a Value or a double, and
  /// at least one is a Value.
  ///
  ///     tapegrad::Value x = 2.0;
  ///     auto y = tapegrad::Value::apply<tapegrad::op<"pow_const">()>(x, 3.0);  // x to the power 3
  template <Op code, class... X>
  requires(std::same_as<X, Value> || ...) static Value apply(const X&... x) {
    if constexpr (sizeof...(X) <= 2) {
      return adopt(tape().record<code>(node_or_number(x)...));
    } else {
      const Argument arguments[] = {argument(x)...};
      return adopt(tape().record<code>(std::span<const Argument>(arguments)));
    }
  }

  /// Returns `x` in the form in which Tape::record() takes it. The result owns no reference: it is
  /// valid while `x` lives.
  static Argument argument(const Value& x) noexcept { return {x.node_, x.data()}; }
  /// The same for a plain number, which has no node.
  static Argument argument(double x) noexcept { return {no_node, x}; }

  /// Returns `x` with another primal, for fma() and hypot() of three, whose value the standard
  /// library computes more accurately than the recorded nodes. Changes the node of `x`, so give a
  /// node that was just recorded.
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

  // Destroys the tape when the thread ends. If a node is still alive, such as that of a static
  // Value, the tape is left allocated.
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

  // This thread's tape. A raw pointer with constant initialisation: each read of a thread_local
  // with a constructor would cost a check.
  TAPEGRAD_ONE_TAPE static inline thread_local constinit Tape* tape_ = nullptr;

  Index node_;
#if TAPEGRAD_CHECK_THREADS
  const Tape* home_ = tape_;
#endif
};

#if TAPEGRAD_CHECK_THREADS
}  // namespace checked
#endif

/// Returns the sum of `xs` from left to right, recorded as one node; 0 for no operands.
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

/// Returns the sum of the products xs[k] * ys[k] from left to right, recorded as one node; 0 for
/// empty sequences. Throws std::invalid_argument for sequences of different lengths.
inline Value dot(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::of_two_rows<op<"dot">()>("dot", xs, ys);
}
/// The same, with plain numbers as constant factors.
inline Value dot(std::span<const Value> xs, std::span<const double> ys) {
  return detail::of_two_rows<op<"dot">()>("dot", xs, ys);
}

/// Returns the sum of the squares of the differences xs[k] - ys[k] from left to right, recorded as
/// one node; 0 for empty sequences. Throws std::invalid_argument for sequences of different
/// lengths.
inline Value squared_distance(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::of_two_rows<op<"squared_distance">()>("squared_distance", xs, ys);
}
/// The same, with the distance to plain numbers.
inline Value squared_distance(std::span<const Value> xs, std::span<const double> ys) {
  return detail::of_two_rows<op<"squared_distance">()>("squared_distance", xs, ys);
}

}  // namespace tapegrad

/// The limits of double. Functions such as infinity() return a Value, a new leaf.
template <>
class std::numeric_limits<tapegrad::Value> : public tapegrad::detail::Limits<tapegrad::Value> {};
