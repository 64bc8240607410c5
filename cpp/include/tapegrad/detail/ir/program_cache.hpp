// A cache of programs, one for each path through a function.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/program.hpp"

namespace tapegrad {

// A program with the memory for a replay. The results lie in `numbers` until the next replay.
struct CachedProgram {
  CachedProgram(std::shared_ptr<const Program> program, std::shared_ptr<const void> attachment)
      : program(std::move(program)), attachment(std::move(attachment)) {
    numbers.resize(this->program->values());
    std::copy(this->program->constants.begin(), this->program->constants.end(), numbers.begin());
  }

  std::size_t replay(std::span<const double> inputs) {
    std::copy(inputs.begin(), inputs.end(),
              numbers.begin() + static_cast<std::ptrdiff_t>(program->constants.size()));
    return program->replay(numbers.data());
  }

  std::shared_ptr<const Program> program;
  std::shared_ptr<const void> attachment;  // the embedding's
  std::vector<double> numbers;
  std::uint64_t tried = 0;  // number of the last search that replayed it
  std::uint64_t used = 0;   // time of the last use, by the clock of the cache's owner
};

// The programs of one compiled function, most recently used first.
class ProgramCache {
 public:
  // Finds the program whose guards all hold for these inputs, and replays it. Returns null if there
  // is none. The pointer is valid until the program is dropped.
  //
  // A guard that fails also yields the outcome for these inputs. Only a program that agrees on all
  // earlier guards and has recorded that outcome can fit, so the search continues with such a one.
  CachedProgram* replay(std::span<const double> inputs) {
    if (programs_.empty()) return nullptr;
    const std::uint64_t search = ++searches_;
    for (std::size_t k = 0;;) {
      CachedProgram& path = *programs_[k];
      path.tried = search;
      const std::size_t broken = path.replay(inputs);
      if (broken == Program::all_hold) {
        std::rotate(programs_.begin(), programs_.begin() + static_cast<std::ptrdiff_t>(k),
                    programs_.begin() + static_cast<std::ptrdiff_t>(k) + 1);
        return &path;
      }
      const double outcome = Program::observe(path.program->guards[broken], path.numbers.data());
      const auto next = std::find_if(programs_.begin(), programs_.end(), [&](const auto& other) {
        return other->tried != search && agrees(*other->program, *path.program, broken) &&
               same(other->program->guards[broken].outcome, outcome);
      });
      if (next == programs_.end()) return nullptr;
      k = static_cast<std::size_t>(next - programs_.begin());
    }
  }

  // Adds a program as the most recently used one.
  void add(std::shared_ptr<const Program> program, std::shared_ptr<const void> attachment,
           std::uint64_t used) {
    programs_.insert(programs_.begin(),
                     std::make_unique<CachedProgram>(std::move(program), std::move(attachment)));
    programs_.front()->used = used;
  }

  // The least recently used program; the cache must not be empty. drop_oldest() passes it to the
  // caller.
  const CachedProgram* oldest() const { return programs_.back().get(); }
  std::unique_ptr<CachedProgram> drop_oldest() {
    std::unique_ptr<CachedProgram> path = std::move(programs_.back());
    programs_.pop_back();
    return path;
  }

  const std::vector<std::unique_ptr<CachedProgram>>& all() const { return programs_; }

 private:
  // True if x and y have the same outcomes before guard `count`, and x has a guard there.
  static bool agrees(const Program& x, const Program& y, std::size_t count) {
    if (x.guards.size() <= count) return false;
    for (std::size_t k = 0; k < count; ++k)
      if (!same(x.guards[k].outcome, y.guards[k].outcome)) return false;
    return true;
  }

  std::vector<std::unique_ptr<CachedProgram>> programs_;  // most recently used first
  std::uint64_t searches_ = 0;
};

}  // namespace tapegrad
