// What several of the tests are written with.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include <tapegrad/detail/graph/dispatch.hpp>

namespace tapegrad::testing {

struct Function final : Backward {
  explicit Function(std::function<void(Index)> body) : body(std::move(body)) {}
  void operator()(Index node) override { body(node); }
  std::function<void(Index)> body;
};

inline std::unique_ptr<Backward> function(std::function<void(Index)> body) {
  return std::make_unique<Function>(std::move(body));
}

// Says when it is destroyed.
struct Witness final : Owned {
  explicit Witness(std::function<void()> last_words) : last_words(std::move(last_words)) {}
  ~Witness() override { last_words(); }
  std::function<void()> last_words;
};

inline std::unique_ptr<Owned> witness(std::function<void()> last_words) {
  return std::make_unique<Witness>(std::move(last_words));
}

// After a sweep, nothing may be pending: neither the node nor, as far as its block counts, a
// neighbour.
inline bool at_rest(const Tape& tape, Index node) {
  const Index first = tape.link(node).operand[0];
  const bool pending_itself = (first & pending_bit) != 0 && first != (pending_bit | no_node);
  return !pending_itself && tape.pool().block_of(node).pending == 0;
}

}  // namespace tapegrad::testing
