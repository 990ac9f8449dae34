// An output layer of few images, inputs and classes, with its products of matrices: x (N, K), W (K, M), M up to 32.

// Sums x W + b and their softmax. A warp an image, a lane a class.
extern "C" __global__ void few_out(const float* x, const float* W, const float* b, int N, int K, int M, float* z,
                                   float* y) {
  const int n = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32, c = min(lane, M - 1);
  if (n >= N) return;
  float sum = 0.f;
#pragma unroll 4
  for (int k = 0; k < K; k++) sum += x[n * K + k] * W[k * M + c];
  sum += b[c];
  const float most = warp_max(sum), e = expf(sum - most), all = warp_sum(lane < M ? e : 0.f);
  if (lane < M) z[n * M + lane] = sum, y[n * M + lane] = e / all;
}

// Gradients by weights, biases and, if `asked`, inputs. A number has one thread; each block has the gradients by all sums,
// as output_back says them.
extern "C" __global__ void few_back(const float* y, const float* t, const float* x, const float* W, int N, int K, int M,
                                    float keep, float even, float over, int asked, float* dW, float* db, float* dx) {
  float* dz = (float*)SHARED;  // (N, M)
  for (int k = threadIdx.x; k < N * M; k += blockDim.x) dz[k] = (y[k] - (keep * t[k] + even)) / over;
  __syncthreads();
  int e = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.f;
  if (e < K * M) {
    const int k = e / M, c = e % M;
#pragma unroll 8
    for (int n = 0; n < N; n++) sum += x[n * K + k] * dz[n * M + c];
    dW[e] = sum;
  } else if ((e -= K * M) < M) {
    for (int n = 0; n < N; n++) sum += dz[n * M + e];
    db[e] = sum;
  } else if ((e -= M) < N * K && asked) {
    const int n = e / K, k = e % K;
    for (int c = 0; c < M; c++) sum += dz[n * M + c] * W[k * M + c];
    dx[e] = sum;
  }
}
