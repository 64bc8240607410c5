// The paths that a function has taken, each as its program, and which of them to take.
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

// The results of a replay lie in `numbers` until the next one.
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
  std::uint64_t tried = 0;  // in which search
  std::uint64_t used = 0;   // when last, by the clock of whoever has the paths
};

class ProgramCache {
 public:
  // The path whose guards all hold for these inputs, replayed; null where there is none.
  //
  // A broken guard says what the function would have been told in its place. Only a path that was
  // told the same up to there, and that there, can be the one.
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

  void add(std::shared_ptr<const Program> program, std::shared_ptr<const void> attachment,
           std::uint64_t used) {
    programs_.insert(programs_.begin(),
                     std::make_unique<CachedProgram>(std::move(program), std::move(attachment)));
    programs_.front()->used = used;
  }

  // The path that was used least recently; there must be one. What is dropped is the caller's.
  const CachedProgram* oldest() const { return programs_.back().get(); }
  std::unique_ptr<CachedProgram> drop_oldest() {
    std::unique_ptr<CachedProgram> path = std::move(programs_.back());
    programs_.pop_back();
    return path;
  }

  const std::vector<std::unique_ptr<CachedProgram>>& all() const { return programs_; }

 private:
  // Whether both were told the same before guard `count`, and `x` was told anything there.
  static bool agrees(const Program& x, const Program& y, std::size_t count) {
    if (x.guards.size() <= count) return false;
    for (std::size_t k = 0; k < count; ++k)
      if (!same(x.guards[k].outcome, y.guards[k].outcome)) return false;
    return true;
  }

  std::vector<std::unique_ptr<CachedProgram>> programs_;  // the last used first
  std::uint64_t searches_ = 0;
};

}  // namespace tapegrad
