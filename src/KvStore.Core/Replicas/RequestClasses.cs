using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>What an operation is to the policy.</summary>
internal static class RequestClasses
{
    public static RequestClass Of(in ClientOperation operation) => operation.Kind is OperationKind.Get or OperationKind.Scan
        ? OfRead(operation.RequireStrong ? ReadLevel.Linearizable : operation.Level)
        : operation.Kind == OperationKind.Transaction ? RequestClass.Transaction : OfWrite(operation.Condition, operation.RequireStrong);

    private static RequestClass OfRead(ReadLevel level) => level switch
    {
        ReadLevel.Linearizable => RequestClass.LinearizableRead,
        ReadLevel.Eventual or ReadLevel.Session or ReadLevel.Bounded => RequestClass.StaleRead,
        ReadLevel.Quorum => RequestClass.QuorumRead,
        _ => RequestClass.DefaultRead,
    };

    private static RequestClass OfWrite(WriteCondition condition, bool strong) => condition switch
    {
        WriteCondition.IfAbsent or WriteCondition.IfVersion => RequestClass.ConditionalWrite,
        WriteCondition.InContext => RequestClass.ContextWrite,
        _ => strong ? RequestClass.StrongWrite : RequestClass.Write,
    };
}
