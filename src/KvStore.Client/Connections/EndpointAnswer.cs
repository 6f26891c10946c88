using System.Net.Sockets;
using System.Security.Authentication;
using Grpc.Core;

namespace KvStore.Client.Connections;

/// <summary>Why a call to an endpoint failed, in words that follow its address.</summary>
/// <param name="IsStranger">Something answered that is no node of this version: it is not down, or starting, but something else.</param>
/// <param name="Words">Such as "can't be reached (Connection refused)".</param>
internal readonly record struct EndpointAnswer(bool IsStranger, string Words)
{
    /// <summary>What Grpc.Net.Client says of a response of HTTP that is none of gRPC, with the status that it makes of it.</summary>
    private const string NoGrpc = "Bad gRPC response.";

    private const long Http11Required = 0xd;

    public const string Mute = "takes connections and does not answer";

    public static EndpointAnswer Of(Exception failure, Overheard heard)
    {
        if (heard.WhatIsNoHttp2 is { } other)
        {
            return new(true, other);
        }

        if (Cause<HttpProtocolException>(failure) is { ErrorCode: Http11Required })
        {
            return new(true, "is a server of HTTP/1, perhaps a node's port for HTTP: clients need its port for gRPC");
        }

        if (failure is RpcException { StatusCode: StatusCode.Unimplemented })
        {
            return new(true, "has no interface of KvStore, or one of another version");
        }

        if (failure is RpcException { Status.Detail: { } detail } && detail.StartsWith(NoGrpc, StringComparison.Ordinal))
        {
            // 200 and the like: a page. A status of an error may be of a proxy, whose node is not up yet.
            bool isPage = failure is RpcException { StatusCode: StatusCode.Cancelled };
            return new(isPage, isPage ? "is a web server, which answers with a page" : $"answers, but not as a node does ({detail[NoGrpc.Length..].Trim()})");
        }

        return new(false, Trouble(failure, heard));
    }

    private static string Trouble(Exception failure, Overheard heard) =>
        Cause<SocketException>(failure) is { } socket ? $"can't be reached ({socket.Message})"
        : Cause<AuthenticationException>(failure) is { } tls ? $"and this client can't agree on TLS ({tls.Message.TrimEnd('.')})"
        : failure is not RpcException rpc ? $"fails ({failure.Message.TrimEnd('.')})"
        : rpc.StatusCode is StatusCode.Cancelled or StatusCode.DeadlineExceeded ? heard.HasConnected ? Mute : "gives no connection"
        : rpc.Status.DebugException is null ? $"refuses ({rpc.Status.Detail.TrimEnd('.')})"
        : heard.HasConnected ? "ends the connection without an answer" : "gives no connection";

    private static T? Cause<T>(Exception? failure)
        where T : Exception
    {
        while (failure is not null and not T)
        {
            failure = failure is RpcException rpc ? rpc.Status.DebugException : failure.InnerException;
        }

        return (T?)failure;
    }
}
