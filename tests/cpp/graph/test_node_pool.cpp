#include <tapegrad/detail/graph/node_pool.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace tapegrad;

namespace {

constexpr Index size = NodePool::size;

// Blocks as the arena uses them: it writes the flags of each slot that it takes.
struct Pool {
  explicit Pool(Index limit = max_nodes) : blocks(limit) {}

  Index push() {
    const Index i = blocks.push();
    blocks.links()[i] = {0.0, {no_node, no_node}};
    blocks.cells()[i] = {0.0, 1, Op::custom, 0};
    return i;
  }
  Index push_leaf() {
    const Index i = blocks.push_leaf();
    blocks.links()[i] = {0.0, {pending_bit | no_node, no_node}};
    blocks.cells()[i] = {0.0, 1, Op::leaf, 0};
    return i;
  }
  std::vector<Index> push(std::size_t count) {
    std::vector<Index> nodes;
    while (nodes.size() < count) nodes.push_back(push());
    return nodes;
  }
  std::vector<Index> push_leaves(std::size_t count) {
    std::vector<Index> nodes;
    while (nodes.size() < count) nodes.push_back(push_leaf());
    return nodes;
  }
  void reclaim(Index i) {
    if (blocks.block_of(i).leaves) return blocks.reclaim_leaf(i);
    NodePool::mark_dead(blocks.cells()[i]);
    blocks.reclaim(i, 1);
  }
  void reclaim(const std::vector<Index>& nodes) {
    for (const Index i : nodes) reclaim(i);
  }

  NodePool blocks;
};

// How many nodes the pool gives until it is full.
std::size_t room_for_nodes(Pool& pool) {
  std::vector<Index> nodes;
  try {
    for (;;) nodes.push_back(pool.push());
  } catch (const ArenaFull&) {
    for (std::size_t k = nodes.size(); k-- > 0;) pool.reclaim(nodes[k]);
    return nodes.size();
  }
}

}  // namespace

TEST_CASE("nothing is alive at first") {
  Pool pool;
  CHECK(pool.blocks.alive() == 0);
  CHECK(pool.blocks.capacity() == 0);
  CHECK(pool.blocks.limit() == max_nodes);
}

TEST_CASE("each new node comes after all others, also across blocks that are used again") {
  Pool pool;
  const std::vector<Index> first = pool.push(4 * size);
  std::vector<Index> kept = {first[0], first[3 * size + 7]};
  for (const Index i : first)
    if (i != kept[0] && i != kept[1]) pool.reclaim(i);
  CHECK(pool.blocks.alive() == 2);
  std::uint64_t newest = pool.blocks.order(kept[1]);
  bool lower_index_came_later = false;
  for (std::size_t k = 0; k < 3 * size; ++k) {
    const Index i = pool.push();
    REQUIRE(pool.blocks.order(i) > newest);
    newest = pool.blocks.order(i);
    lower_index_came_later |= i < kept[1];
  }
  CHECK(lower_index_came_later);
  CHECK(pool.blocks.order(kept[0]) < pool.blocks.order(kept[1]));
}

TEST_CASE("the records of one node lie at different places in their pages") {
  Pool pool;
  pool.push();
  const auto place = [](const void* base) { return reinterpret_cast<std::uintptr_t>(base) % 4096; };
  const auto links = place(pool.blocks.links());
  const auto partials = place(pool.blocks.partials());
  const auto cells = place(pool.blocks.cells());
  for (const auto& [one, other] :
       {std::pair(links, partials), std::pair(partials, cells), std::pair(cells, links)})
    CHECK((one - other) % 4096 >= 1024);
}

#if !defined(_WIN32)
TEST_CASE("pages begin where a huge page can") {
  VirtualMemory some, more;
  for (VirtualMemory* pages : {&some, &more}) {
    REQUIRE(pages->reserve(3 * 4096));
    CHECK(reinterpret_cast<std::uintptr_t>(pages->base()) % VirtualMemory::huge_page == 0);
  }
}
#endif

TEST_CASE("the newest slots are taken back at once") {
  Pool pool;
  const std::vector<Index> nodes = pool.push(10);
  pool.reclaim(nodes[9]);
  CHECK(pool.push() == nodes[9]);
}

TEST_CASE("the newest slots go together with the dead ones below them") {
  Pool pool;
  const std::vector<Index> nodes = pool.push(10);
  pool.reclaim(nodes[7]);
  pool.reclaim(nodes[8]);
  CHECK(pool.blocks.alive() == 8);
  pool.reclaim(nodes[9]);
  CHECK(pool.blocks.alive() == 7);
  CHECK(pool.push() == nodes[7]);
}

TEST_CASE("the last slot of a full current block is taken back like any other") {
  Pool pool;
  const std::vector<Index> nodes = pool.push(size);
  pool.reclaim(nodes.back());
  CHECK(pool.push() == nodes.back());
  CHECK(pool.blocks.alive() == size);
}

TEST_CASE("a node physically just below an empty current block is none of its newest") {
  Pool pool;
  const std::vector<Index> lower = pool.push(size);
  const Index upper = pool.push();
  REQUIRE(upper == lower.back() + 1);
  pool.reclaim(upper);
  pool.reclaim(lower.back());
  CHECK(pool.blocks.alive() == size - 1);
  // The freed slot is in an older block: it waits for the rest of it.
  CHECK(pool.push() == upper);
  CHECK(pool.blocks.alive() == size);
}

TEST_CASE("a block is used again when all of it is dead and not before") {
  Pool pool(4 * size);
  const std::vector<Index> nodes = pool.push(3 * size);
  for (Index k = size; k + 1 < 2 * size; ++k) pool.reclaim(nodes[k]);
  CHECK(room_for_nodes(pool) == size);
  pool.reclaim(nodes[2 * size - 1]);
  CHECK(room_for_nodes(pool) == 2 * size);
  CHECK(pool.blocks.alive() == 2 * size);
}

TEST_CASE("older blocks are found in the order of creation, those of leaves last") {
  Pool pool;
  const Index leaf = pool.push_leaf();
  const std::vector<Index> nodes = pool.push(3 * size);
  const std::vector<Index> more_leaves = pool.push_leaves(size);
  const Index oldest = nodes[0] / size, middle = nodes[size] / size,
              newest = nodes[2 * size] / size;
  CHECK(pool.blocks.before(newest) == middle);
  CHECK(pool.blocks.before(middle) == oldest);
  CHECK(pool.blocks.before(oldest) == more_leaves.back() / size);
  CHECK(pool.blocks.before(more_leaves.back() / size) == leaf / size);
  for (Index k = size; k < 2 * size; ++k) pool.reclaim(nodes[k]);
  CHECK(pool.blocks.before(newest) == oldest);
}

TEST_CASE("the slot of a dead leaf is the next leaf's") {
  Pool pool;
  const std::vector<Index> leaves = pool.push_leaves(3 * size);
  pool.reclaim(leaves[5]);
  CHECK(pool.push_leaf() == leaves[5]);
  pool.reclaim(leaves[100]);
  pool.reclaim(leaves[7]);
  const std::set<Index> again = {pool.push_leaf(), pool.push_leaf()};
  CHECK(again == std::set<Index>{leaves[7], leaves[100]});
  CHECK(pool.blocks.alive() == 3 * size);
}

TEST_CASE("leaves and other nodes lie in blocks of their own") {
  Pool pool;
  for (int k = 0; k < 1000; ++k) {
    CHECK(pool.blocks.block_of(pool.push_leaf()).leaves);
    CHECK(!pool.blocks.block_of(pool.push()).leaves);
  }
}

TEST_CASE("blocks whose leaves are dead go back to the pool") {
  // The newest of them may be kept for the next leaf.
  Pool pool(8 * size);
  const std::vector<Index> leaves = pool.push_leaves(8 * size);
  SUBCASE("when leaves die in the order of creation") { pool.reclaim(leaves); }
  SUBCASE("when the newest die first") { pool.reclaim({leaves.rbegin(), leaves.rend()}); }
  SUBCASE("when they die in any order") {
    std::vector<Index> shuffled = leaves;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(7));
    pool.reclaim(shuffled);
  }
  CHECK(pool.blocks.alive() == 0);
  CHECK(room_for_nodes(pool) >= 7 * size);
}

TEST_CASE("a leaf made and dropped over and over keeps its slot, which does not count as alive") {
  Pool pool;
  const std::vector<Index> leaves = pool.push_leaves(size);
  const Index slot = pool.push_leaf();
  for (int k = 0; k < 1000; ++k) {
    pool.reclaim(slot);
    CHECK(pool.blocks.alive() == size);
    REQUIRE(pool.push_leaf() == slot);
  }
}

TEST_CASE("past its limit the arena says that it is full, and can be used on") {
  Pool pool(2 * size);
  const std::vector<Index> nodes = pool.push(2 * size);
  for (int attempt = 0; attempt < 3; ++attempt) {
    CHECK_THROWS_WITH_AS(pool.push(), "the arena is full: 1024 of 1024 nodes are in use",
                         ArenaFull);
    CHECK_THROWS_AS(pool.push_leaf(), std::bad_alloc);
    CHECK(pool.blocks.alive() == 2 * size);
  }
  pool.reclaim(nodes.back());
  CHECK(pool.push() == nodes.back());
  pool.reclaim(nodes);
  CHECK(pool.blocks.alive() == 0);
  CHECK(pool.push_leaves(size).size() == size);
  CHECK(pool.push(size).size() == size);
}

#if !defined(_WIN32)
TEST_CASE("TAPEGRAD_MAX_NODES lowers the limit and never raises it") {
  setenv("TAPEGRAD_MAX_NODES", "1536", 1);
  CHECK(NodePool().limit() == 1536);
  CHECK(NodePool(1024).limit() == 1024);
  setenv("TAPEGRAD_MAX_NODES", "99999999999999", 1);
  CHECK(NodePool().limit() == max_nodes);
  setenv("TAPEGRAD_MAX_NODES", "many", 1);
  CHECK(NodePool().limit() == max_nodes);
  unsetenv("TAPEGRAD_MAX_NODES");
}
#endif

TEST_CASE("a hundred thousand random operations agree with a model") {
  for (const unsigned seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    Pool pool(64 * size);
    std::set<Index> alive;               // every slot in use
    std::vector<Index> leaves;           // in no order
    std::map<std::uint64_t, Index> age;  // nodes by creation
    std::uint64_t created = 0;
    bool growing = true;
    for (int step = 0; step < 100'000; ++step) {
      // Long phases of growth and decline empty whole blocks now and then.
      if (step % 7000 == 0) growing = !growing;
      const bool make = below(100) < (growing ? 70u : 35u);
      const bool leaf = below(4) == 0;
      if (make) {
        try {
          const Index i = leaf ? pool.push_leaf() : pool.push();
          REQUIRE(alive.insert(i).second);
          REQUIRE(pool.blocks.block_of(i).leaves == leaf);
          if (leaf) {
            leaves.push_back(i);
          } else {
            if (!age.empty())
              REQUIRE(pool.blocks.order(i) > pool.blocks.order(age.rbegin()->second));
            age.emplace(++created, i);
          }
        } catch (const ArenaFull&) {
          growing = false;
        }
      } else if (leaf && !leaves.empty()) {
        std::swap(leaves[below(leaves.size())], leaves.back());
        alive.erase(leaves.back());
        pool.reclaim(leaves.back());
        leaves.pop_back();
      } else if (!age.empty()) {
        // Mostly the newest, as losses die; sometimes any.
        auto chosen = std::prev(age.end());
        if (below(3) == 0) chosen = age.lower_bound(below(created) + 1);
        if (chosen == age.end()) continue;
        alive.erase(chosen->second);
        pool.reclaim(chosen->second);
        age.erase(chosen);
      }
      if (step % 500 == 0) {
        REQUIRE(pool.blocks.alive() == alive.size());
        std::uint64_t last = 0;
        for (const auto& [when, i] : age) {
          REQUIRE(pool.blocks.order(i) > last);
          last = pool.blocks.order(i);
        }
      }
    }
    CHECK(pool.blocks.alive() == alive.size());
    for (const Index i : alive) pool.reclaim(i);
    CHECK(pool.blocks.alive() == 0);
  }
}

TEST_CASE("a random history never loses blocks") {
  std::mt19937 random(11);
  Pool pool(32 * size);
  for (int round = 0; round < 50; ++round) {
    std::vector<Index> nodes;
    try {
      for (;;) nodes.push_back(random() % 3 == 0 ? pool.push_leaf() : pool.push());
    } catch (const ArenaFull&) {
      std::shuffle(nodes.begin(), nodes.end(), random);
      pool.reclaim(nodes);
    }
    REQUIRE(pool.blocks.alive() == 0);
  }
  CHECK(room_for_nodes(pool) >= 31 * size);
}

TEST_CASE("blocks that nobody uses give their memory back, and get it again when they are used") {
  constexpr std::size_t group = 256 * size;
  Pool pool;
  const std::vector<Index> first = pool.push(3 * group);
  const std::vector<Index> kept = {first[5], first[2 * group + 7]};
  const std::vector<Index> rest = pool.push(12 * group);
  const std::size_t full = pool.blocks.bytes();
  CHECK(full >= 15 * group * bytes_per_node);
  for (std::size_t k = rest.size(); k-- > 0;) pool.reclaim(rest[k]);
  CHECK(pool.blocks.bytes() <= full - 8 * group * bytes_per_node);
  for (const Index i : rest) {
    if (!pool.blocks.is_there(i)) continue;
    CHECK(pool.blocks.bytes() >= 3 * group * bytes_per_node);
    break;
  }
  CHECK(pool.blocks.alive() == first.size());
  CHECK(pool.blocks.is_there(kept[0]));
  CHECK(pool.blocks.is_there(kept[1]));
  pool.blocks.cells()[kept[0]].primal = 5.0;
  // What is used again holds what is written, in the order of creation, and is not lost to leaves.
  const std::vector<Index> again = pool.push(9 * group);
  const std::vector<Index> leaves = pool.push_leaves(3 * group);
  for (std::size_t k = 1; k < again.size(); ++k)
    REQUIRE(pool.blocks.order(again[k - 1]) < pool.blocks.order(again[k]));
  const std::set<Index> all(again.begin(), again.end());
  CHECK(all.size() == again.size());
  for (const Index leaf : leaves) REQUIRE(!all.contains(leaf));
  for (const Index i : again) REQUIRE(pool.blocks.is_there(i));
  CHECK(pool.blocks.cells()[kept[0]].primal == 5.0);
  CHECK(pool.blocks.bytes() <= full);
}

TEST_CASE("a loop keeps the memory that it uses again at once") {
  constexpr std::size_t nodes = 10 * 256 * size;
  Pool pool;
  std::vector<std::size_t> left;
  for (int step = 0; step < 4; ++step) {
    const std::vector<Index> graph = pool.push(nodes);
    for (std::size_t k = graph.size(); k-- > 0;) pool.reclaim(graph[k]);
    left.push_back(pool.blocks.bytes());
  }
  CHECK(left[0] < nodes * bytes_per_node / 2);
  CHECK(left[1] >= nodes * bytes_per_node * 9 / 10);
  CHECK(left[3] >= nodes * bytes_per_node * 9 / 10);
}
