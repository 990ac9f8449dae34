// Products of small matrices by the threads of a warp, 16×8 += 16×16 · 16×8, on tensor cores if TENSOR. Factors are in
// shared memory as cells: halves, which have 11 significant bits, as many as TF32, but a narrower range, so that what
// is put into one is first multiplied by a power of two. Where TENSOR is 0, a cell is a float.
//
// Lane 4 g + t holds of A the rows g and g + 8 in columns 2 t, 2 t + 1 and 2 t + 8, 2 t + 9, of B the column g in those
// rows, of the sums the rows g and g + 8 in columns 2 t and 2 t + 1 (PTX, "Matrix fragments for mma.m16n8k16").

template <bool HALF>
struct Kind {
  typedef unsigned short Cell;
  typedef u32 Pair;
};
template <>
struct Kind<false> {
  typedef float Cell;
  typedef float2 Pair;
};
typedef Kind<TENSOR != 0>::Cell Cell;
typedef Kind<TENSOR != 0>::Pair Pair;

// Cells from row to row of so many: rows begin at multiples of 16 bytes, eight rows in a row in eight different banks.
__device__ constexpr int row_of(int cells) {
  return (round_up(cells * int(sizeof(Cell)), 16) / 16 | 1) * 16 / int(sizeof(Cell));
}

__device__ inline u32 halves(float low, float high) {
#ifdef EMULATED
  return emulated_half(low) | u32(emulated_half(high)) << 16;
#elif __CUDA_ARCH__ >= 800
  u32 both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  unsigned short a, b;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(a) : "f"(low));
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(b) : "f"(high));
  return a | u32(b) << 16;
#endif
}

__device__ inline float whole(unsigned short half) {
#ifdef EMULATED
  return emulated_float(half);
#else
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(half));
  return v;
#endif
}
__device__ inline float whole(float v) { return v; }

__device__ inline void put(unsigned short* at, float v) { *at = (unsigned short)halves(v, 0.f); }
__device__ inline void put(float* at, float v) { *at = v; }
__device__ inline void put_two(unsigned short* at, float a, float b) { *(u32*)at = halves(a, b); }
__device__ inline void put_two(float* at, float a, float b) { *(float2*)at = make_float2(a, b); }

__device__ inline void put_four(unsigned short* at, float4 v, float by) {
  *(uint2*)at = make_uint2(halves(v.x * by, v.y * by), halves(v.z * by, v.w * by));
}
__device__ inline void put_four(float* at, float4 v, float by) {
  *(float4*)at = make_float4(v.x * by, v.y * by, v.z * by, v.w * by);
}
__device__ inline void put_eight(unsigned short* at, const float (&v)[8]) {
  *(uint4*)at = make_uint4(halves(v[0], v[1]), halves(v[2], v[3]), halves(v[4], v[5]), halves(v[6], v[7]));
}
__device__ inline void put_eight(float* at, const float (&v)[8]) {
  ((float4*)at)[0] = make_float4(v[0], v[1], v[2], v[3]), ((float4*)at)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

__device__ inline void set_ones(u32 (&pairs)[4]) {
  for (int k = 0; k < 4; k++) pairs[k] = 0x3c003c00u;
}
__device__ inline void set_ones(float2 (&pairs)[4]) {
  for (int k = 0; k < 4; k++) pairs[k] = make_float2(1.f, 1.f);
}

// What rounding to a cell takes off `v`.
__device__ inline float rest_of(float v, const unsigned short*) { return v - whole((unsigned short)halves(v, 0.f)); }
__device__ inline float rest_of(float, const float*) { return 0.f; }

// A power of two that brings numbers of up to `top` near the largest half, and the one that takes them back.
struct Scale {
  float by, back;
  __device__ explicit Scale(float top) {
    const int exponent = __float_as_uint(top) >> 23 & 255, field = max(1, min(268 - exponent, 253));
    by = __uint_as_float(u32(field) << 23), back = __uint_as_float(u32(254 - field) << 23);
  }
};

// Four 8×8 matrices from shared memory: lane l says where row l % 8 of matrix l / 8 is, eight cells; of each a lane
// gets what it holds in a product, if TURNED of the matrix with rows and columns exchanged.
template <bool TURNED>
__device__ inline void fetch(u32 (&out)[4], const unsigned short* row) {
#ifdef EMULATED
  emulated_fetch<TURNED>(out, row);
#else
  const u32 at = u32(__cvta_generic_to_shared(row));
  if (TURNED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at));
#endif
}

template <bool TURNED>
__device__ inline void fetch(float2 (&out)[4], const float* row) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (TURNED) {
      const float* upper = (const float*)__shfl_sync(0xffffffffu, (unsigned long long)row, 8 * i + 2 * t);
      const float* lower = (const float*)__shfl_sync(0xffffffffu, (unsigned long long)row, 8 * i + 2 * t + 1);
      out[i] = make_float2(upper[g], lower[g]);
    } else {
      const float* at = (const float*)__shfl_sync(0xffffffffu, (unsigned long long)row, 8 * i + g) + 2 * t;
      out[i] = make_float2(at[0], at[1]);
    }
  }
}

// Where a lane's row of the four matrices is that make 16×16 cells: of A as (row, k) and of B, two products wide, as
// (k, column), and the other way round.
template <int STRIDE>
__device__ inline int sixteen_rows() {
  return threadIdx.x % 16 * STRIDE + threadIdx.x / 16 % 2 * 8;
}
template <int STRIDE>
__device__ inline int eight_rows() {
  return (threadIdx.x % 8 + threadIdx.x / 16 % 2 * 8) * STRIDE + threadIdx.x / 8 % 2 * 8;
}

__device__ inline void multiply(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#ifdef EMULATED
  emulated_multiply(sum, a, b0, b1);
#elif __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
#pragma unroll
  for (int k = 0; k < 2; k++)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(k ? b1 : b0));
#endif
}

__device__ inline void multiply(float (&sum)[4], const float2 (&a)[4], float2 b0, float2 b1) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int k = 0; k < 16; k++) {
    const float2 high = a[k / 8 * 2], low = a[k / 8 * 2 + 1], b = k / 8 ? b1 : b0;
    const int row = g * 4 + k % 8 / 2, column = 8 * t + k % 8 / 2;
    const float top = __shfl_sync(0xffffffffu, k % 2 ? high.y : high.x, row);
    const float bottom = __shfl_sync(0xffffffffu, k % 2 ? low.y : low.x, row);
    const float left = __shfl_sync(0xffffffffu, k % 2 ? b.y : b.x, column);
    const float right = __shfl_sync(0xffffffffu, k % 2 ? b.y : b.x, column + 4);
    sum[0] += top * left, sum[1] += top * right, sum[2] += bottom * left, sum[3] += bottom * right;
  }
}

// MT×NT products; of B, the fetched tiles are two products wide.
template <int MT, int NT>
__device__ inline void multiply(float (&sums)[MT][NT][4], const Pair (&a)[MT][4], const Pair (&b)[(NT + 1) / 2][4]) {
#pragma unroll
  for (int m = 0; m < MT; m++)
#pragma unroll
    for (int n = 0; n < NT; n++) multiply(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
}

// Sixteen bytes from memory to shared memory without waiting, on GPUs that can. `fetch_done` ends a set of such calls;
// `fetched` waits until all sets of this thread but the last LEFT have come.
__device__ inline void fetch_async(void* out, const void* in) {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(u32(__cvta_generic_to_shared(out))), "l"(in)
               : "memory");
#else
  *(float4*)out = *(const float4*)in;
#endif
}
__device__ inline void fetch_done() {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int LEFT>
__device__ inline void fetched() {
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

// Rows of LENGTH numbers that lie in one stretch, into rows of STRIDE, without waiting.
template <int T, int LENGTH, int STRIDE, class Number>
__device__ inline void fetch_rows(Number* out, const Number* in, int rows) {
  constexpr int EACH = 16 / sizeof(Number), ACROSS = LENGTH / EACH;
  for (int e = threadIdx.x; e < rows * ACROSS; e += T)
    fetch_async(out + e / ACROSS * STRIDE + e % ACROSS * EACH, in + e * EACH);
}

// ROWS×COLUMNS floats on their way from memory to shared memory, where they are cells times a factor.
template <int T, int ROWS, int COLUMNS, int STRIDE>
struct Staged {
  static constexpr int ACROSS = COLUMNS / 4, FOURS = ROWS * ACROSS, EACH = (FOURS + T - 1) / T;
  float4 held[EACH];
  // `pitch` from row to row; from row `rows` and column `columns` on there are zeros.
  __device__ void load(const float* in, size_t pitch, int rows, int columns) {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      const int e = threadIdx.x + k * T, row = e / ACROSS, column = e % ACROSS * 4;
      const bool there = e < FOURS && row < rows && column < columns;
      held[k] = there ? *(const float4*)(in + row * pitch + column) : make_float4(0.f, 0.f, 0.f, 0.f);
    }
  }
  __device__ void store(Cell* out, float by) const {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      const int e = threadIdx.x + k * T;
      if (e < FOURS) put_four(out + e / ACROSS * STRIDE + e % ACROSS * 4, held[k], by);
    }
  }
  // What rounding takes off them, for products that are nearly those of float32.
  __device__ void store_rest(Cell* out, float by) const {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      const int e = threadIdx.x + k * T;
      const float4 v = held[k];
      if (e < FOURS)
        put_four(out + e / ACROSS * STRIDE + e % ACROSS * 4,
                 make_float4(rest_of(v.x * by, out), rest_of(v.y * by, out), rest_of(v.z * by, out),
                             rest_of(v.w * by, out)),
                 1.f);
    }
  }
};
