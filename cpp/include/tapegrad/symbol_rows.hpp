// What layers are made of in a recording: symbols, which nobody owns.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "recording.hpp"

namespace tapegrad {

class SymbolRow {
 public:
  using Engine = Recording;
  using Item = Symbol;

  struct Held : Symbol {
    Held(Recording&, const Symbol& symbol) noexcept : Symbol(symbol) {}
  };
  static Symbol number(double x) noexcept { return x; }

  explicit SymbolRow(Recording& recording) noexcept : recording_(&recording) {}

  void add(const Symbol& item) { items_.push_back(item); }
  const Symbol& adopt(const Symbol& item) { return items_.emplace_back(item); }
  void reserve(std::size_t more) { items_.reserve(items_.size() + more); }

  Recording& recording() const noexcept { return *recording_; }
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

// An operation of the table on symbols of this recording, which must be the current one.
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

// As a constant for derivatives, though it is computed anew in every run.
inline Symbol largest_of(Recording&, std::span<const Symbol> xs) {
  return Symbol::apply<op<"stop">()>(math::largest(xs));
}

inline Symbol sum_of_squares(Recording&, std::span<const Symbol> xs) {
  return ops::inner_product(xs, xs, Symbol(ops::nothing));
}

}  // namespace tapegrad
