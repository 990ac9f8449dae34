// What layers do before and behind their products of matrices, a launch each; float32. `bent` is for a ReLU.

// The numbers of a block's threads added up, in an order that is always the same; for thread 0.
__device__ inline float block_sum(float v, float* parts) {
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  float sum = 0.f;
  if (threadIdx.x == 0)
    for (int k = 0; k < blockDim.x / 32; k++) sum += parts[k];
  return sum;
}

// What slices of a sum came to, (slices, count), added up.
extern "C" __global__ void slices_sum(const float* parts, int slices, int count, float* sums) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= count) return;
  float sum = 0.f;
  for (int s = 0; s < slices; s++) sum += parts[s * count + e];
  sums[e] = sum;
}

// Sums (M, N, P) of a convolution and biases (M,) to outputs (N, M, P).
extern "C" __global__ void filters_out(const float* sums, const float* b, int N, int M, int P, int bent, float* y) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= N * M * P) return;
  const int n = e / (M * P), m = e / P % M, p = e % P;
  const float z = sums[(m * N + n) * P + p] + b[m];
  y[e] = bent ? relu(z) : z;
}

// Back: gradients by the outputs (N, M, P) to those by the sums (M, N, P), and by the biases, (slices, M). A block a
// filter and slice, of `slice` places.
extern "C" __global__ void __launch_bounds__(512)
filters_back(const float* dy, const float* y, int N, int M, int P, int bent, float* dz, int slice, float* db) {
  const int m = blockIdx.x % M, s = blockIdx.x / M, all = N * P, end = min(all, (s + 1) * slice);
  float sum = 0.f;
#pragma unroll 4
  for (int k = s * slice + threadIdx.x; k < end; k += 512) {
    const int from = (k / P * M + m) * P + k % P;
    const float d = bent && !(y[from] > 0.f) ? 0.f : dy[from];
    dz[(size_t)m * all + k] = d;
    sum += d;
  }
  sum = block_sum(sum, (float*)SHARED);
  if (threadIdx.x == 0) db[s * M + m] = sum;
}

// Sums (N, M) of a dense layer and biases (M,) to outputs, in place.
extern "C" __global__ void units_out(float* sums, const float* b, int N, int M, int bent) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= N * M) return;
  const float z = sums[e] + b[e % M];
  sums[e] = bent ? relu(z) : z;
}

// What 32 units have in 8 groups of rows added up. A block has 32 units; thread by thread the unit, then the group.
__device__ inline void units_sum(float sum, int unit, int M, float* db, float* parts) {
  const int t = threadIdx.x;
  parts[t] = sum;
  __syncthreads();
  if (t >= 32 || unit >= M) return;
  for (int k = 1; k < 8; k++) sum += parts[k * 32 + t];
  db[unit] = sum;
}

// Back: gradients by the outputs (N, M) to those by the sums and by the biases.
extern "C" __global__ void __launch_bounds__(256)
units_back(const float* dy, const float* y, int N, int M, int bent, float* dz, float* db) {
  const int unit = blockIdx.x * 32 + threadIdx.x % 32;
  float sum = 0.f;
  for (int n = threadIdx.x / 32; unit < M && n < N; n += 8) {
    const int e = n * M + unit;
    const float d = bent && !(y[e] > 0.f) ? 0.f : dy[e];
    dz[e] = d;
    sum += d;
  }
  units_sum(sum, unit, M, db, (float*)SHARED);
}

// The same for the last layer and the loss that goes with its activation: outputs less targets, over `over`. Targets
// are `keep` of what they say and `even` for all.
extern "C" __global__ void __launch_bounds__(256)
output_back(const float* y, const float* t, int N, int M, float keep, float even, float over, float* dz, float* db) {
  const int unit = blockIdx.x * 32 + threadIdx.x % 32;
  float sum = 0.f;
  for (int n = threadIdx.x / 32; unit < M && n < N; n += 8) {
    const int e = n * M + unit;
    const float d = (y[e] - (keep * t[e] + even)) / over;
    dz[e] = d;
    sum += d;
  }
  units_sum(sum, unit, M, db, (float*)SHARED);
}

// Sums (N, M), biases added in place, and their softmax. A warp a row.
extern "C" __global__ void softmax_out(float* sums, const float* b, int N, int M, float* y) {
  const int n = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (n >= N) return;
  sums += (size_t)n * M, y += (size_t)n * M;
  float most = __uint_as_float(0xff800000u), all = 0.f;
  for (int m = lane; m < M; m += 32) most = fmaxf(most, sums[m] += b[m]);
  most = warp_max(most);
  for (int m = lane; m < M; m += 32) all += y[m] = expf(sums[m] - most);
  all = warp_sum(all);
  for (int m = lane; m < M; m += 32) y[m] /= all;
}

// The rows of `x` and of `t` at `places`, of so many numbers each.
extern "C" __global__ void gather(const float* x, const float* t, const long long* places, int rows, int wide, int narrow,
                                  float* to_x, float* to_t) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x, each = wide + narrow, row = e / each, k = e % each;
  if (row >= rows) return;
  if (k < wide)
    to_x[(size_t)row * wide + k] = x[places[row] * wide + k];
  else
    to_t[(size_t)row * narrow + k - wide] = t[places[row] * narrow + k - wide];
}
