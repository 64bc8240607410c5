// A Value that is used in another thread than its own ends a debug build with a message.
#include <tapegrad/value.hpp>

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <utility>

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#endif

using tapegrad::Value;

static_assert(TAPEGRAD_CHECK_THREADS == 1, "the target defines it");

#if !defined(_WIN32)

namespace {

// What a process that runs `body` in a second thread writes to stderr before it aborts; empty if it
// does not abort.
template <class Body>
std::string last_words(Body body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    std::signal(SIGABRT, SIG_DFL);
    std::thread(body).join();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[256];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : std::string();
}

}  // namespace

TEST_CASE("each use of a Value in another thread is refused") {
  Value x = 2.0;
  const std::string wanted =
      "tapegrad: a Value was used in another thread than the one that made it, or in a library "
      "with a tape of its own\n";
  CHECK(last_words([&] { x.data(); }) == wanted);
  CHECK(last_words([&] { x.grad(); }) == wanted);
  CHECK(last_words([&] { x.set_data(1.0); }) == wanted);
  CHECK(last_words([&] { x.backward(); }) == wanted);
  CHECK(last_words([&] { x.zero_grad(); }) == wanted);
  CHECK(last_words([&] { x.label(); }) == wanted);
  CHECK(last_words([&] { const Value copy = x; }) == wanted);
  CHECK(last_words([&] { const Value moved = std::move(x); }) == wanted);
  CHECK(last_words([&] { x = 3.0; }) == wanted);
  CHECK(last_words([&] { const Value y = x + 1.0; }) == wanted);
  CHECK(last_words([&] { const Value own = 1.0, y = own * x; }) == wanted);
  CHECK(last_words([&] { const Value y = exp(x); }) == wanted);
  CHECK(last_words([&] { const Value y = clip(x, 0.0, 1.0); }) == wanted);
}

TEST_CASE("a Value of the thread itself is not") {
  CHECK(last_words([] {
          Value x = 2.0;
          Value y = std::move(x) * 3.0;
          x = y;
          y.backward();
        }).empty());
}

#endif
