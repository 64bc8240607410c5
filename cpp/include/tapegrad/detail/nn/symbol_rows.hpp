// The rows of layers in a recording, and the operations on them. Symbols have no owner.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad {

// A sequence of symbols of one recording, with the interface of Row.
class SymbolRow {
 public:
  using Engine = Recording;
  using Item = Symbol;

  // A symbol, in place of the owner that an eager layer needs.
  struct OwnedNumber : Symbol {
    OwnedNumber(Recording&, const Symbol& symbol) noexcept : Symbol(symbol) {}
  };
  static Symbol number(double x) noexcept { return x; }

  explicit SymbolRow(Recording& recording) noexcept : recording_(&recording) {}

  void add(const Symbol& item) { items_.push_back(item); }
  const Symbol& adopt(const Symbol& item) { return items_.emplace_back(item); }
  void reserve(std::size_t more) { items_.reserve(items_.size() + more); }

  Recording& recording() const noexcept { return *recording_; }
  // A flag for each result of subtract_largest(): is it the largest?
  std::vector<Symbol> is_top;

  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  const Symbol& operator[](std::size_t k) const noexcept { return items_[k]; }
  operator std::span<const Symbol>() const noexcept { return items_; }
  auto begin() const noexcept { return items_.begin(); }
  auto end() const noexcept { return items_.end(); }

 private:
  Recording* recording_;
  std::vector<Symbol> items_;
};

// Applies an operation of the table to symbols of this recording, which must be the current one.
template <Op code>
Symbol apply(Recording&, const Symbol& x) {
  return Symbol::apply<code>(x);
}

template <Op code>
Symbol apply(Recording&, const Symbol& x, const Symbol& y) {
  return Symbol::apply<code>(x, y);
}

template <Op code>
Symbol apply(Recording&, std::span<const Symbol> xs) {
  if (xs.empty()) return ops::descriptions[static_cast<std::size_t>(code)].empty.value();
  return entry<code>.value(xs);
}

inline Symbol sum_of_squares(Recording&, std::span<const Symbol> xs) {
  return ops::inner_product(xs, xs, Symbol(ops::nothing));
}

// The functions of the same names in rows.hpp, for symbols. Every replay finds the largest anew.
inline void subtract_largest(Recording&, std::span<const Symbol> xs, SymbolRow& out) {
  const Peak peak = peak_of(xs);
  out.reserve(xs.size());
  for (std::size_t k = 0; k < xs.size(); ++k)
    out.adopt(where(Condition{peak.is_top[k]}, 0.0, xs[k] - peak.top));
  out.is_top = peak.is_top;
}

inline Symbol log_total(Recording&, const SymbolRow& shifted) {
  return log1p(rest_of_exponentials(shifted, {0.0, shifted.is_top}, 0.0));
}

inline Symbol divide_by_largest(Recording&, std::span<const Symbol> xs, double least,
                                SymbolRow& out) {
  std::vector<Symbol> sizes;
  for (const Symbol& x : xs) sizes.push_back(abs(x));
  const Peak peak = peak_of(sizes);
  const Condition small = peak.top < least;
  const Symbol top = where(small, least, peak.top);
  const Condition defined = top > 0.0;
  out.reserve(xs.size());
  for (std::size_t k = 0; k < xs.size(); ++k) {
    const Symbol sign = where(xs[k] < 0.0, -1.0, 1.0);
    const Condition is_top{where(small, 0.0, (Condition{peak.is_top[k]} && defined).symbol)};
    out.adopt(where(is_top, sign, xs[k] / top));
  }
  return least / top;
}

inline bool all_zero(std::span<const Symbol>) noexcept { return false; }

// Records a guard: the instructions that follow are valid only for the same outcome.
inline bool is_less(Recording& recording, const Symbol& x, double bound) {
  if (x.is_constant()) return x.primal() < bound;
  return recording.is_less(x.place(), recording.constant(bound));
}

inline bool is_plain(const Symbol& x, double number) noexcept {
  return x.is_constant() && x.primal() == number;
}

inline Symbol below_zero(Recording&, const Symbol& x, const Symbol& yes, const Symbol& no) {
  return where(x < 0.0, yes, no);
}

inline bool may_be_infinite(const Symbol&) noexcept { return true; }

inline Symbol weighted(Recording&, const Symbol& weight, const Symbol& x) {
  if (weight.is_constant()) return weight.primal() == 0.0 ? Symbol(0.0) : weight * x;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double least = std::numeric_limits<double>::denorm_min();
  const Condition absent = weight == 0.0 && abs(x) == infinity;
  // A quotient of 0 whose derivative by the weight is that infinity.
  const Symbol divisor = where(absent, where(x < 0.0, -least, least), infinity);
  return weight * where(absent, 0.0, x) + weight / divisor;
}

}  // namespace tapegrad
