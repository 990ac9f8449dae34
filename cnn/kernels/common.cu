// What all kernels share. The constants named in capitals are written above this text when it is compiled.
typedef unsigned int u32;
typedef unsigned char u8;

#ifndef EMULATED  // by the tests, which run this text on the CPU
extern __shared__ float4 dynamic_shared[];
#define SHARED dynamic_shared
#endif

// Learning-rate table: one row of NUMBERS floats a step and layer, made by the host from the layer's own optimizer.
constexpr int NUMBERS = 8;

// a / (sqrt(b) + c), off by few units in the last place: the exact operations take four times as many instructions.
__device__ inline float over_root(float a, float b, float c) {
#ifdef EMULATED
  return a / (sqrtf(b) + c);
#else
  float root;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(b));
  return __fdividef(a, root + c);
#endif
}

// Adam, as `Adam.rule` has it: {1 - beta1, 1 - beta2, rate, eps, L2 penalty, what decoupled decay keeps}.
struct Adam {
  float new1, new2, rate, eps, penalty, keep;
  __device__ explicit Adam(const float* row)
      : new1(row[0]), new2(row[1]), rate(row[2]), eps(row[3]), penalty(row[4]), keep(row[5]) {}
  __device__ void step(float g, float& p, float& m, float& v) const {
    g += penalty * p;
    p *= keep;
    m += new1 * (g - m);
    v += new2 * (g * g - v);
    p -= over_root(rate * m, v, eps);
  }
};

__device__ inline float relu(float z) { return z <= 0.f ? 0.f : z; }  // NaN stays

__device__ inline float warp_sum(float v) {
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

__device__ inline float warp_max(float v) {
  for (int d = 16; d > 0; d /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

// From compute capability 9.0 a kernel may begin while the one before it ends, if it is launched so. In front of
// `follow` it reads what is written by neither of these two, and writes to its own shared memory alone; behind it, all
// that was launched before has ended, and the next kernel may begin. All threads of all blocks that work call it.
__device__ inline void follow() {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Sixteen bytes from memory to shared memory, on their way until the thread says `arrived`.
__device__ inline void fetch(float* to, const float* from) {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(u32(__cvta_generic_to_shared(to))), "l"(from) : "memory");
#else
  *(float4*)to = *(const float4*)from;
#endif
}

__device__ inline void arrived() {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// The line of memory that this lies in comes to the second-level cache, and nobody waits for it.
__device__ inline void prefetch(const float* from) {
#ifndef EMULATED
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
#endif
}

__device__ constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }
__device__ constexpr int larger(int a, int b) { return a > b ? a : b; }

// Random numbers by counting: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as
// 1, 2, 3"). The same seed, step and place give the same number, on any GPU and in any order of threads.
struct Drawn { u32 number[4]; };

__device__ inline Drawn philox(u32 place, u32 step, u32 seed) {
  u32 a = place, b = step, c = 0, d = 0, left = seed, right = 0;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    u32 high = __umulhi(0xD2511F53u, a), low = 0xD2511F53u * a, more = __umulhi(0xCD9E8D57u, c);
    u32 last = 0xCD9E8D57u * c;
    a = more ^ b ^ left, b = last, c = high ^ d ^ right, d = low;
    left += 0x9E3779B9u, right += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// What dropout needs to know: numbers below `below` of 2^32 fall, the others are multiplied by `scale`.
struct Dropout {
  u32 seed, step, below;
  float scale;
  __device__ bool drops(u32 e) const { return below && philox(e / 4, step, seed).number[e % 4] < below; }
};
