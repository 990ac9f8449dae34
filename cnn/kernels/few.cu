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

// As output_back says it, the gradient by the sum (n, c).
struct Outputs {
  const float *y, *t;
  int M;
  float keep, even, over;
  __device__ float back(int n, int c) const {
    const int e = n * M + c;
    return (y[e] - (keep * t[e] + even)) / over;
  }
};

// Gradients by weights, biases and, if `asked`, inputs. A number has one thread.
extern "C" __global__ void few_back(const float* y, const float* t, const float* x, const float* W, int N, int K, int M,
                                    float keep, float even, float over, int asked, float* dW, float* db, float* dx) {
  const Outputs outputs{y, t, M, keep, even, over};
  int e = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.f;
  if (e < K * M) {
    for (int n = 0; n < N; n++) sum += x[n * K + e / M] * outputs.back(n, e % M);
    dW[e] = sum;
  } else if ((e -= K * M) < M) {
    for (int n = 0; n < N; n++) sum += outputs.back(n, e);
    db[e] = sum;
  } else if ((e -= M) < N * K && asked) {
    for (int c = 0; c < M; c++) sum += outputs.back(e / K, c) * W[e % K * M + c];
    dx[e] = sum;
  }
}
