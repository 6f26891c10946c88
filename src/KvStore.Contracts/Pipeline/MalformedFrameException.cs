namespace KvStore.Contracts.Pipeline;

/// <summary>A frame of a hot stream is not the protobuf message it should be. The stream it came on can't be trusted any more and should be closed.</summary>
public sealed class MalformedFrameException(string message) : Exception(message);
