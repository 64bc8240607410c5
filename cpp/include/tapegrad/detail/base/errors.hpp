// The exception for storage that is used up.
#pragma once

#include <new>
#include <string>
#include <utility>

#include "tapegrad/detail/base/platform.hpp"

namespace tapegrad {

// Thrown when the storage of nodes, steps or instructions cannot grow, because no index or no
// memory is left.
class ArenaFull : public std::bad_alloc {
 public:
  explicit ArenaFull(std::string why) : why_(std::move(why)) {}
  const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
};

}  // namespace tapegrad
