using Grpc.Core;
using Grpc.Health.V1;
using Grpc.Net.Client;

namespace KvStore.Node.Hosting;

/// <summary>The verb <c>healthcheck</c>: asks a node whether it serves, for probes of containers that have no other tool.</summary>
internal static class HealthProbe
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, TextWriter output, TextWriter errors)
    {
        string? address = arguments switch
        {
            [] => "127.0.0.1:7001",
            ["--address", var value] => value,
            [var pair] when pair.StartsWith("--address=", StringComparison.Ordinal) => pair["--address=".Length..],
            _ => null,
        };
        if (address is null || !NodeOptionsValidation.IsAddress(address))
        {
            await errors.WriteLineAsync("Usage: healthcheck --address HOST:PORT");
            return ExitCodes.Usage;
        }

        try
        {
            using SocketsHttpHandler handler = new() { UseProxy = false, ConnectTimeout = Timeout };
            using GrpcChannel channel = GrpcChannel.ForAddress($"http://{address}", new GrpcChannelOptions { HttpHandler = handler });
            HealthCheckResponse answer = await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), deadline: DateTime.UtcNow + Timeout);
            await output.WriteLineAsync(answer.Status.ToString());
            return answer.Status == HealthCheckResponse.Types.ServingStatus.Serving ? ExitCodes.Ok : ExitCodes.NotServing;
        }
        catch (RpcException failure)
        {
            await errors.WriteLineAsync($"{address} does not answer: {failure.Status.Detail}");
            return ExitCodes.NotServing;
        }
    }
}
