// CUDA C++ on the CPU, for tests: each thread of a block is a fiber, and a barrier gives way to the next one.
//
// What it finds: wrong indices (with -fsanitize=address), reads of shared memory that nobody wrote (it begins as NaN),
// threads that wait at different barriers, and races, as results that change with the order of threads and blocks.
// What it does not show: speed, and what a GPU's memory model allows beyond orders of whole threads.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#define EMULATED 1
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)

struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
using std::max;
using std::min;

namespace emulated {
constexpr size_t STACK = 64 << 10, SHARED_BYTES = 232448;
enum Wait { NONE, BLOCK, WARP, SPIN, DONE };

struct Block;
struct Held { float a[4], b[2]; };
struct Fiber {
  ucontext_t context;
  char* stack = nullptr;
  Block* block = nullptr;
  unsigned thread = 0;
  Wait wait = NONE;
  long barriers = 0, exchanges = 0;
};
struct Block {
  unsigned index = 0, index_y = 0;
  std::vector<Fiber> fibers;
  std::vector<struct Held> held;
  std::vector<uint64_t> slots;  // what the threads of a warp show each other, two sets by turns
  char* shared = nullptr;
};
inline Fiber* current = nullptr;
inline ucontext_t scheduler;
inline dim3 grid, block_size;
inline std::function<void()> body;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulated CUDA: %s (block %u, thread %u)\n", what, current ? current->block->index : 0,
               current ? current->thread : 0);
  std::abort();
}
inline void give_way(Wait why) {
  current->wait = why;
  swapcontext(&current->context, &scheduler);
}
inline void run_fiber() {
  body();
  current->wait = DONE;
  swapcontext(&current->context, &scheduler);
}
inline bool may_go_on(const Block& block, const Fiber& fiber, long slowest) {
  if (fiber.wait == DONE) return false;
  if (fiber.wait == BLOCK) {
    return fiber.barriers <= slowest;
  } else if (fiber.wait == WARP) {
    unsigned first = fiber.thread / 32 * 32, end = std::min<size_t>(first + 32, block.fibers.size());
    for (unsigned t = first; t < end; t++)
      if (block.fibers[t].exchanges < fiber.exchanges) return false;
  }
  return true;
}
inline char* pooled_stack(size_t which) {
  static std::vector<char*> stacks;
  while (stacks.size() <= which) stacks.push_back(new char[STACK]);
  return stacks[which];
}
inline void start(Block& block, unsigned index, unsigned index_y, unsigned threads, size_t shared, size_t first_stack) {
  block.index = index, block.index_y = index_y;
  block.fibers.resize(threads);
  block.slots.assign(2 * threads, 0);
  block.held.resize(2 * threads);
  block.shared = static_cast<char*>(aligned_alloc(256, (shared + 511) / 256 * 256));
  std::memset(block.shared, 0xff, (shared + 511) / 256 * 256);  // NaN, as floats
  for (unsigned t = 0; t < threads; t++) {
    Fiber& fiber = block.fibers[t];
    fiber.block = &block, fiber.thread = t, fiber.stack = pooled_stack(first_stack + t);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack, fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
  }
}
// One turn: each thread that may go on does so until it next gives way. Whether any did.
inline bool turn(Block& block, bool backwards) {
  bool moved = false;
  const size_t threads = block.fibers.size();
  long slowest = -1;
  for (const Fiber& fiber : block.fibers)
    if (fiber.wait != DONE) slowest = slowest < 0 ? fiber.barriers : std::min(slowest, fiber.barriers);
  for (size_t k = 0; k < threads; k++) {
    Fiber& fiber = block.fibers[backwards ? threads - 1 - k : k];
    if (!may_go_on(block, fiber, slowest)) continue;
    current = &fiber;
    swapcontext(&scheduler, &fiber.context);
    moved = true;
  }
  return moved;
}
inline bool done(const Block& block) {
  return std::all_of(block.fibers.begin(), block.fibers.end(), [](const Fiber& f) { return f.wait == DONE; });
}
inline void check(const Block& block) {
  for (const Fiber& fiber : block.fibers)
    if (fiber.barriers != block.fibers[0].barriers) {
      current = const_cast<Fiber*>(&fiber);
      std::fprintf(stderr, "%ld barriers, thread 0 %ld; ", fiber.barriers, block.fibers[0].barriers);
      fail("threads of a block passed different numbers of barriers");
    }
}
// All blocks one after another, or, if `together`, side by side, as those of a cooperative launch.
inline void run(dim3 blocks, unsigned threads, size_t shared, int order, bool together) {
  grid = blocks, block_size = dim3{threads, 1, 1};
  const unsigned count = blocks.x * blocks.y;
  std::vector<Block> all(together ? count : 1);
  for (unsigned k = 0; k < count; k++) {
    unsigned which = order & 2 ? count - 1 - k : k;
    Block& block = all[together ? k : 0];
    block = Block{};
    start(block, which % blocks.x, which / blocks.x, threads, shared, together ? size_t(k) * threads : 0);
    if (together) continue;
    while (turn(block, order & 1)) {}
    if (!done(block)) fail("threads wait for a barrier that others never reach");
    check(block);
    free(block.shared);
  }
  if (!together) return;
  for (bool moved = true; moved;) {
    moved = false;
    for (Block& block : all) moved |= turn(block, order & 1);
  }
  for (Block& block : all) {
    if (!done(block)) fail("threads wait for a barrier that others never reach");
    check(block);
    free(block.shared);
  }
}
template <class T>
T exchanged(T value, unsigned from) {
  static_assert(sizeof(T) <= 8);
  Fiber& me = *current;
  const size_t threads = me.block->fibers.size();
  uint64_t* slots = me.block->slots.data() + (me.exchanges & 1) * threads + me.thread / 32 * 32;
  std::memcpy(slots + me.thread % 32, &value, sizeof(T));
  me.exchanges++;
  give_way(WARP);
  T answer;
  std::memcpy(&answer, slots + from % 32, sizeof(T));
  return answer;
}
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*static_cast<A*>(args[I])...);
}
template <class... A>
void launch(void (*kernel)(A...), unsigned x, unsigned y, unsigned threads, size_t shared, int order, int together,
            void** args) {
  body = [=] { call(kernel, args, std::index_sequence_for<A...>{}); };
  run(dim3{x, y, 1}, threads, shared, order, together);
}
}  // namespace emulated

#define threadIdx (dim3{emulated::current->thread, 0, 0})
#define blockIdx (dim3{emulated::current->block->index, emulated::current->block->index_y, 0})
#define gridDim emulated::grid
#define blockDim emulated::block_size
#define SHARED ((float4*)emulated::current->block->shared)
#define KERNEL(name)                                                                                               \
  extern "C" void launch_##name(unsigned x, unsigned y, unsigned threads, size_t shared, int order, int together, \
                                void** args) {                                                                     \
    emulated::launch(name, x, y, threads, shared, order, together, args);                                          \
  }

inline void __syncthreads() {
  emulated::current->barriers++;
  emulated::give_way(emulated::BLOCK);
}
inline void __syncwarp(unsigned = 0xffffffffu) { emulated::exchanged(0, emulated::current->thread); }
inline void __threadfence() {}
inline void give_way() { emulated::give_way(emulated::SPIN); }
template <class T> T __shfl_sync(unsigned, T v, int from) { return emulated::exchanged(v, from); }
template <class T> T __shfl_xor_sync(unsigned, T v, int d) {
  return emulated::exchanged(v, emulated::current->thread % 32 ^ d);
}
template <class T> T __shfl_down_sync(unsigned, T v, int d) {
  unsigned lane = emulated::current->thread % 32;
  return emulated::exchanged(v, lane + d < 32 ? lane + d : lane);
}
template <class T> T __ldcg(const T* p) { return *p; }
template <class T> void __stcg(T* p, T v) { *p = v; }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T atomicAdd(T* p, T v) { T old = *p; *p = old + v; return old; }
template <class T> T atomicMax(T* p, T v) { T old = *p; *p = std::max(old, v); return old; }
inline int __ffs(unsigned v) { return __builtin_ffs(int(v)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline unsigned __float_as_uint(float v) { unsigned u; std::memcpy(&u, &v, 4); return u; }
inline float __uint_as_float(unsigned u) { float v; std::memcpy(&v, &u, 4); return v; }

// What a warp's lanes hold of A and B goes to all of them; each adds up its own four sums: of
// A a lane holds the rows g and g + 8 in columns t and t + 4, of B the column g in those rows, for lane 4 g + t.
inline void emulated_multiply_add(float (&sum)[4], const float (&a)[4], const float (&b)[2]) {
  emulated::Fiber& me = *emulated::current;
  const unsigned lane = me.thread % 32, g = lane / 4, t = lane % 4;
  emulated::Held* held = me.block->held.data() + (me.exchanges & 1) * me.block->fibers.size() + me.thread / 32 * 32;
  for (int k = 0; k < 4; k++) held[lane].a[k] = a[k];
  held[lane].b[0] = b[0], held[lane].b[1] = b[1];
  me.exchanges++;
  emulated::give_way(emulated::WARP);
  for (int k = 0; k < 8; k++) {
    const emulated::Held &row = held[g * 4 + k % 4], &left = held[8 * t + k % 4], &right = held[8 * t + 4 + k % 4];
    sum[0] += row.a[k / 4 * 2] * left.b[k / 4], sum[1] += row.a[k / 4 * 2] * right.b[k / 4];
    sum[2] += row.a[k / 4 * 2 + 1] * left.b[k / 4], sum[3] += row.a[k / 4 * 2 + 1] * right.b[k / 4];
  }
}

// Halves of 16 bits, rounded to the nearest and to even, as the GPU does.
inline float emulated_float(unsigned short half) {
  const unsigned sign = unsigned(half & 0x8000u) << 16, exponent = half >> 10 & 31, rest = half & 1023;
  const float size = exponent == 31 ? (rest ? NAN : INFINITY)
                     : exponent     ? std::ldexp(1024.f + rest, int(exponent) - 25)
                                    : std::ldexp(float(rest), -24);
  return __uint_as_float(__float_as_uint(size) | sign);
}
inline unsigned short emulated_half(float v) {
  const unsigned sign = __float_as_uint(v) >> 16 & 0x8000u;
  if (std::isnan(v)) return 0x7fff;
  const float size = std::fabs(v);
  if (size >= 65520.f) return sign | 0x7c00u;
  if (size == 0.f) return sign;
  const int exponent = std::max(std::ilogb(size), -14);
  const unsigned units = unsigned(std::nearbyint(std::ldexp(size, 10 - exponent)));  // 2048 carries into the exponent
  return sign | (unsigned(exponent + 14) << 10) + units;
}
// Each lane shows where its row is, and reads those it needs (see halves.cu).
template <bool TURNED>
inline void emulated_fetch(unsigned (&out)[4], const unsigned short* row) {
  emulated::Fiber& me = *emulated::current;
  const unsigned lane = me.thread % 32, g = lane / 4, t = lane % 4;
  const size_t threads = me.block->fibers.size();
  uint64_t* slots = me.block->slots.data() + (me.exchanges & 1) * threads + me.thread / 32 * 32;
  if (reinterpret_cast<uint64_t>(row) % 16) emulated::fail("a row of a matrix does not begin at 16 bytes");
  slots[lane] = reinterpret_cast<uint64_t>(row);
  me.exchanges++;
  emulated::give_way(emulated::WARP);
  auto at = [&](unsigned from, unsigned column) { return reinterpret_cast<const unsigned short*>(slots[from])[column]; };
  for (unsigned i = 0; i < 4; i++)
    out[i] = TURNED ? at(8 * i + 2 * t, g) | unsigned(at(8 * i + 2 * t + 1, g)) << 16
                    : at(8 * i + g, 2 * t) | unsigned(at(8 * i + g, 2 * t + 1)) << 16;
}
inline void emulated_multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  auto low = [](unsigned pair) { return emulated_float(pair & 0xffffu); };
  auto high = [](unsigned pair) { return emulated_float(pair >> 16); };
  for (int k = 0; k < 4; k += 2) {  // the first of each pair as the left four columns, the second as the right ones
    const float left[4] = {low(a[k]), low(a[k + 1]), high(a[k]), high(a[k + 1])};
    const float right[2] = {low(k ? b1 : b0), high(k ? b1 : b0)};
    emulated_multiply_add(sum, left, right);
  }
}
