// Products of small matrices by the threads of a warp: 16×8 += 16×8 · 8×8, on tensor cores where TENSOR says so.
//
// Lane 4 g + t holds of A the rows g and g + 8 in columns t and t + 4, of B the column g in rows t and t + 4, of the
// sums the rows g and g + 8 in columns 2 t and 2 t + 1 (PTX, "Matrix fragments for mma.m16n8k8").

// `v` as the tensor cores read it: TF32 has 10 bits behind the point.
__device__ inline float tf32(float v) {
#ifdef EMULATED
  return TENSOR ? __uint_as_float((__float_as_uint(v) + 0x1000u) & 0xffffe000u) : v;
#elif __CUDA_ARCH__ >= 800
  if (TENSOR) {
    u32 rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(v));
    return __uint_as_float(rounded);
  }
  return v;
#else
  return v;
#endif
}

__device__ inline void multiply_add(float (&sum)[4], const float (&a)[4], const float (&b)[2]) {
#ifdef EMULATED
  emulated_multiply_add(sum, a, b);
#else
#if __CUDA_ARCH__ >= 800
  if (TENSOR) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
    return;
  }
#endif
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int k = 0; k < 8; k++) {
    const int high = k / 4, row = g * 4 + k % 4, column = 8 * t + k % 4;
    float top = __shfl_sync(0xffffffffu, a[2 * high], row), low = __shfl_sync(0xffffffffu, a[2 * high + 1], row);
    float left = __shfl_sync(0xffffffffu, b[high], column), right = __shfl_sync(0xffffffffu, b[high], column + 4);
    sum[0] += top * left, sum[1] += top * right, sum[2] += low * left, sum[3] += low * right;
  }
#endif
}

// What rounding takes off `v`, which is rounded: v is then the sum of both.
__device__ inline float split(float& v) {
  float whole = v;
  v = tf32(v);
  return whole - v;
}
